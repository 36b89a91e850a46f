#!/bin/sh
# Bootpoint's self-check for Linux: says as JSON what the machine started with. Reads only.
# Run it as root in the test VM:   sh linux.sh > check.json

text() { printf '%s' "$1" | tr -d '\000-\037' | sed 's/\\/\\\\/g; s/"/\\"/g'; }
first() { for file; do [ -r "$file" ] && head -n 1 "$file" && return; done; return 0; }
driver() { basename "$(readlink -f "$1/driver" 2>/dev/null)" 2>/dev/null; }
comma=

list_begin() { printf '  "%s": [' "$1"; comma=; }
list_item() { printf '%s\n    %s' "$comma" "$1"; comma=,; }
list_end() { printf '\n  ]%s\n' "$1"; }

controllers() {
    for device in /sys/bus/pci/devices/*; do
        class=$(first "$device/class")
        case $class in
        0x01*) list_item "{\"class\": \"$(text "$class")\", \"vendor\": \"$(text "$(first "$device/vendor")")\", \"device\": \"$(text "$(first "$device/device")")\", \"driver\": \"$(text "$(driver "$device")")\"}" ;;
        esac
    done
}

cards() {
    for card in /sys/class/net/*; do
        [ -e "$card/device" ] || continue
        name=$(basename "$card")
        addresses=$(ip -o addr show dev "$name" 2>/dev/null | awk '{print $4}' | tr '\n' ' ')
        list_item "{\"name\": \"$(text "$name")\", \"mac\": \"$(text "$(first "$card/address")")\", \"driver\": \"$(text "$(driver "$card/device")")\", \"addresses\": \"$(text "$addresses")\"}"
    done
}

mounts() {
    awk '$1 ~ "^/dev/" {print $1, $2, $3}' /proc/mounts | while read -r device path kind; do
        printf '%s\n    {"device": "%s", "path": "%s", "type": "%s"}' "$comma" \
            "$(text "$device")" "$(text "$path")" "$(text "$kind")"
        comma=,
    done
}

printf '{\n  "version": 1,\n  "family": "linux",\n'
printf '  "system": "%s",\n' "$(text "$(sed -n 's/^PRETTY_NAME=//p' /etc/os-release 2>/dev/null | tr -d '"')")"
printf '  "kernel": "%s",\n' "$(text "$(uname -r)")"
printf '  "firmware": "%s",\n' "$([ -d /sys/firmware/efi ] && echo uefi || echo bios)"
printf '  "product": "%s",\n' "$(text "$(first /sys/class/dmi/id/product_name)")"
list_begin controllers; controllers; list_end ,
list_begin cards; cards; list_end ,
list_begin mounts; mounts; list_end
printf '}\n'
