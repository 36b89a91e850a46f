# Bootpoint's self-check for Windows: says as JSON what the machine started with. Reads only.
# Run it as administrator in the test VM (Windows 8 / Server 2012 or later):
#   powershell -ExecutionPolicy Bypass -File windows.ps1 > check.json
$ErrorActionPreference = 'SilentlyContinue'
$services = 'HKLM:\SYSTEM\CurrentControlSet\Services'
$names = 'storahci', 'stornvme', 'LSI_SAS', 'msahci', 'atapi', 'intelide', 'pciide',
         'pvscsi', 'viostor', 'vioscsi', 'netkvm', 'vmxnet3ndis6'
$system = Get-WmiObject Win32_OperatingSystem
$machine = Get-WmiObject Win32_ComputerSystem

$controllers = @('Win32_SCSIController', 'Win32_IDEController' | ForEach-Object {
    Get-WmiObject $_ | Select-Object Name, DriverName, PNPDeviceID, Status
})
$disks = @(Get-Disk | Select-Object Number, FriendlyName, IsOffline, IsBoot, Size)
$volumes = @(Get-WmiObject Win32_Volume | Select-Object DriveLetter, Label, FileSystem, Capacity)
$cards = @(Get-WmiObject Win32_NetworkAdapterConfiguration -Filter 'IPEnabled=TRUE' |
    Select-Object Description, MACAddress, DHCPEnabled, IPAddress, IPSubnet, DefaultIPGateway,
        DNSServerSearchOrder, ServiceName)
$starts = @($names | ForEach-Object {
    $key = Join-Path $services $_
    if (Test-Path $key) {
        New-Object PSObject -Property @{
            name = $_
            start = (Get-ItemProperty $key).Start
            overridden = (Test-Path (Join-Path $key 'StartOverride'))
        }
    }
})
$stops = @(Get-WinEvent -MaxEvents 5 -FilterHashtable @{ LogName = 'System'; Id = 1001
        ProviderName = 'Microsoft-Windows-WER-SystemErrorReporting' } |
    ForEach-Object { $_.Message })
$setup = Get-ItemProperty 'HKLM:\SYSTEM\Setup'
$activation = @(Get-WmiObject SoftwareLicensingProduct -Filter 'PartialProductKey IS NOT NULL' |
    Select-Object Name, LicenseStatus)

New-Object PSObject -Property @{
    version = 1
    family = 'windows'
    system = $system.Caption
    build = $system.Version
    product = $machine.Model
    controllers = $controllers
    disks = $disks
    volumes = $volumes
    cards = $cards
    services = $starts
    setup = @{ type = $setup.SetupType; command = $setup.CmdLine }
    first_start = @(Get-Content "$env:SystemRoot\bootpoint\firstboot.log" | ForEach-Object { "$_" })
    stop_codes = $stops
    activation = $activation
} | ConvertTo-Json -Depth 5
