r"""The script of the first start: staged drivers are installed, static addresses find their card.

    Tcpip\Parameters\Interfaces, Nsi ─► Static ─► by name, else by order ─► firstboot.ps1

Drivers come first, for a card that has none has no address. Windows installs only what a publisher
that it trusts has signed; whoever registered a driver trusts its publisher, so each valid signer of
a staged catalogue is added to the trusted ones. Whatever pnputil does, it is ended after minutes.

A static address stays bound to the old card's GUID; the new card is found by the address that the
VM was given. Setup\CmdLine starts the script once, as SYSTEM; the script sets it back first of
all, so that a failure never comes twice. Only netsh is used: every version since 2008 R2 has it.

IPv6 addresses are not beside those of IPv4, see `ipv6.py`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.guests.windows import ipv6
from engine.guests.windows.hive import Key, Path_
from engine.model.cards import CardChange
from engine.model.text import safe

INTERFACES = ("Services", "Tcpip", "Parameters", "Interfaces")
CONNECTIONS = ("Control", "Network", "{4D36E972-E325-11CE-BFC1-08002BE10318}")
WANTED: Sequence[Path_] = (("Setup",), ("*", *INTERFACES), ("*", *CONNECTIONS), *ipv6.WANTED)
"""What is read of the hive SYSTEM."""
FOLDER = b"/Windows/bootpoint"
COMMAND = r'cmd.exe /c "%SystemRoot%\bootpoint\firstboot.cmd"'
KEPT = "BootpointCmdLine"
"""Value beside `CmdLine` that keeps what was there."""
_GUID = re.compile(r"\{[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}")
_MAC = re.compile(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")
_MOST = 64


@dataclass(frozen=True, slots=True)
class Static:
    """Static addresses of one old card.

    Attributes:
        addresses: Address and mask; empty when IPv4 comes by DHCP.
        six: Static addresses of IPv6 and its name servers.
        gateways: Address and metric; 0: Windows decides.
        metric: Of the interface; 0: Windows decides.
    """

    guid: str
    name: str
    addresses: Sequence[tuple[str, str]]
    gateways: Sequence[tuple[str, int]]
    dns: Sequence[str]
    metric: int = 0
    six: ipv6.Six = ipv6.NONE

    @property
    def first(self) -> str:
        """The first address, for words."""
        return next((address for address, _ in (*self.addresses, *self.six.addresses)), "")


def statics(control_set: Key) -> Sequence[Static]:
    """Return the cards with static addresses; what is no address is left out."""
    interfaces = control_set.at(INTERFACES) or Key()
    six = ipv6.by_card(control_set)
    guids = [guid for guid in sorted({*interfaces.keys, *six}) if _GUID.fullmatch(guid)]
    found = [_static(control_set, guid, six.get(guid, ipv6.NONE)) for guid in guids]
    return [static for static in found if static.first]


def _static(control_set: Key, guid: str, six: ipv6.Six) -> Static:
    key = control_set.at((*INTERFACES, guid)) or Key()
    name, dhcp = _name(control_set, guid), key.values.get("enabledhcp")
    if dhcp is None or dhcp.number != 0:
        return Static(guid, name, (), (), (), six=six)
    masks = _texts(key, "subnetmask")
    pairs = [
        (address, mask)
        for address, mask in zip(_texts(key, "ipaddress"), masks, strict=False)
        if _is_address(address) and _is_address(mask) and address != "0.0.0.0"  # noqa: S104 - a value that is refused
    ]
    if not pairs:
        return Static(guid, name, (), (), (), six=six)
    metrics = [*_texts(key, "defaultgatewaymetric"), *["0"] * _MOST]
    gateways = [
        (text, _metric(metric))
        for text, metric in zip(_texts(key, "defaultgateway"), metrics, strict=False)
        if _is_address(text)
    ]
    servers = re.split(r"[ ,]+", " ".join(_texts(key, "nameserver")))
    dns = [text for text in servers if _is_address(text)]
    told = key.values.get("interfacemetric")
    metric = _metric(str(told.number)) if told is not None else 0
    return Static(guid, name, pairs, gateways, dns, metric, six)


def pair(
    old: Sequence[Static], nics: Sequence[CardChange], warnings: list[str]
) -> Sequence[tuple[CardChange, Static]]:
    """Return which card gets which addresses: by the card's name, else by order."""
    left, pairs = list(old), []
    usable = [nic for nic in nics if _MAC.fullmatch(nic.new)]
    for nic in list(usable):
        same = next((s for s in left if s.name and s.name.lower() == nic.name.lower()), None)
        if same is not None:
            pairs.append((nic, same))
            left.remove(same)
            usable.remove(nic)
    by_order = list(zip(usable, left, strict=False))
    if len(by_order) > 1 or (by_order and len(usable) != len(left)):
        told = ", ".join(f"{safe(nic.new)} gets {s.first}" for nic, s in by_order)
        warnings.append(f"Which network card has which address is decided by their order: {told}.")
    warnings += [
        f"No network card of the VM gets the address {static.first}."
        for static in left[len(by_order) :]
    ]
    warnings += [
        f"The card with the address {static.first} has IPv6 routes of its own, which are not moved;"
        " set its gateway by hand if no router tells it."
        for _, static in (*pairs, *by_order)
        if static.six.has_routes
    ]
    return [*pairs, *by_order]


def command() -> bytes:
    """Return the batch file that `Setup` starts."""
    lines = (
        "@echo off",
        r"reg add HKLM\SYSTEM\Setup /v SetupType /t REG_DWORD /d 0 /f",
        r'set "PS=powershell.exe -NoProfile -ExecutionPolicy Bypass"',
        r'%PS% -File "%~dp0firstboot.ps1" >>"%~dp0firstboot.log" 2>&1',
        r'del "%~dp0firstboot.ps1" & del "%~f0"',
    )
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def script(pairs: Sequence[tuple[CardChange, Static]]) -> bytes:
    """Return the script; all texts in it were checked, so that none can end a string."""
    cards = "\r\n".join(_card(nic, static) for nic, static in pairs)
    return _SCRIPT.replace("\n", "\r\n").replace("@CARDS@", cards).encode("ascii")


def _card(nic: CardChange, static: Static) -> str:
    pairs = _list([f"{address}/{mask}" for address, mask in static.addresses])
    gateways = _list([f"{address}/{metric}" for address, metric in static.gateways])
    six = _list([f"{address}/{length}" for address, length in static.six.addresses])
    return (
        f"  @{{ Mac = '{nic.new.upper()}'; Old = '{static.guid}'; Addresses = {pairs};"
        f" Gateways = {gateways}; Dns = {_list(static.dns)}; Metric = {static.metric};"
        f" Six = {six}; Dns6 = {_list(static.six.dns)} }}"
    )


def _list(texts: Sequence[str]) -> str:
    return "@(" + ", ".join(f"'{text}'" for text in texts) + ")"


def _texts(key: Key, name: str) -> Sequence[str]:
    value = key.values.get(name)
    return value.texts[:_MOST] if value else ()


def _name(control_set: Key, guid: str) -> str:
    connection = control_set.at((*CONNECTIONS, guid, "Connection")) or Key()
    return next(iter(_texts(connection, "name")), "")


def _metric(text: str) -> int:
    """Return a metric as netsh takes it; 0 where there is none."""
    is_number = text.isascii() and text.isdigit() and len(text) < 5
    return int(text) if is_number and int(text) <= 9999 else 0


def _is_address(text: str) -> bool:
    try:
        return str(ipaddress.IPv4Address(text)) == text
    except ValueError:
        return False


_SCRIPT = r"""# Written by Bootpoint: installs drivers, gives cards their addresses. Runs once.
$setup = 'HKLM:\SYSTEM\Setup'
$kept = (Get-ItemProperty $setup).BootpointCmdLine
if ($kept -ne $null) {
  Set-ItemProperty $setup CmdLine $kept
  Remove-ItemProperty $setup BootpointCmdLine
}
$here = Split-Path -Parent $MyInvocation.MyCommand.Path
$drivers = Join-Path $here 'drivers'
if (Test-Path $drivers) {
  $files = @(Get-ChildItem $drivers -Recurse | Where-Object { -not $_.PSIsContainer })
  $kind = 'System.Security.Cryptography.X509Certificates.X509Store'
  $trusted = New-Object $kind 'TrustedPublisher', 'LocalMachine'
  $trusted.Open('ReadWrite')
  foreach ($file in @($files | Where-Object { $_.Extension -eq '.cat' })) {
    $signature = Get-AuthenticodeSignature $file.FullName
    if ($signature.Status -eq 'Valid') { $trusted.Add($signature.SignerCertificate) }
    else { "the signature of $($file.Name) is not valid: $($signature.Status)" }
  }
  $trusted.Close()
  foreach ($file in @($files | Where-Object { $_.Extension -eq '.inf' })) {
    $quoted = '"' + $file.FullName + '"'
    $run = Start-Process pnputil.exe -ArgumentList '-i', '-a', $quoted -PassThru -WindowStyle Hidden
    $null = $run.Handle  # else there is no exit code later
    if ($run.WaitForExit(180000)) { "pnputil of $($file.Name) ended with $($run.ExitCode)" }
    else { $run.Kill(); "pnputil of $($file.Name) did not end and was stopped" }
  }
}
$cards = @(
@CARDS@
)
$interfaces = 'HKLM:\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters\Interfaces'
foreach ($card in $cards) {
  $found = $null
  for ($try = 0; $try -lt 60 -and -not $found; $try++) {
    $found = Get-WmiObject Win32_NetworkAdapter | Where-Object { $_.MACAddress -eq $card.Mac }
    if (-not $found) { Start-Sleep -Seconds 2 }
  }
  if (-not $found) { "no network card has the address $($card.Mac)"; continue }
  $index = @($found)[0].InterfaceIndex
  $old = Join-Path $interfaces $card.Old
  $moves = $card.Addresses.Count -gt 0 -and @($found)[0].GUID -ne $card.Old
  if ($moves -and (Test-Path $old)) {
    Set-ItemProperty $old EnableDHCP 1
    foreach ($name in 'IPAddress', 'SubnetMask', 'DefaultGateway', 'NameServer') {
      Remove-ItemProperty $old $name -ErrorAction SilentlyContinue
    }
  }
  $verb = 'set'
  foreach ($pair in $card.Addresses) {
    $address, $mask = $pair.Split('/')
    if ($verb -eq 'set') {
      netsh interface ipv4 set address name=$index source=static address=$address mask=$mask
    } else {
      netsh interface ipv4 add address name=$index address=$address mask=$mask
    }
    $verb = 'add'
  }
  foreach ($pair in $card.Gateways) {
    $gateway, $metric = $pair.Split('/')
    if ($metric -eq '0') { $metric = '1' }
    netsh interface ipv4 add address name=$index gateway=$gateway gwmetric=$metric
  }
  if ($card.Metric -gt 0) { netsh interface ipv4 set interface $index metric=$($card.Metric) }
  foreach ($server in $card.Dns) {
    netsh interface ipv4 add dnsservers name=$index address=$server validate=no
  }
  foreach ($address in $card.Six) {
    netsh interface ipv6 add address interface=$index address=$address store=persistent
  }
  foreach ($server in $card.Dns6) {
    netsh interface ipv6 add dnsservers name=$index address=$server validate=no
  }
  "$($card.Mac) has $($card.Addresses) $($card.Six)"
}
"""
