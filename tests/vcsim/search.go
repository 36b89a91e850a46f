// What vcsim leaves out of the search index: several VMs may have the same UUID.
package main

import (
	"fmt"
	"net/http"

	"github.com/vmware/govmomi/simulator"
)

// searched tells the ids of all VMs that have a UUID of the BIOS, one a line.
func searched(w http.ResponseWriter, r *http.Request) {
	for _, one := range simulator.Map.All("VirtualMachine") {
		vm := one.(*simulator.VirtualMachine)
		if vm.Config != nil && vm.Config.Uuid == r.URL.Query().Get("uuid") {
			fmt.Fprintln(w, vm.Self.Value)
		}
	}
}
