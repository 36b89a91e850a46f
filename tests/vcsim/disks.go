// What vcsim leaves out around datastores: each host mounts and unmounts a share by itself, a
// datastore knows the VMs that have files on it, a VM that is moved takes its files along, and it
// knows its recent tasks.
package main

import (
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const recentTasks = 5

type ref = types.ManagedObjectReference

// storing is a host's own list of datastores.
type storing struct {
	simulator.HostDatastoreSystem
}

func mountEachByItself() {
	for _, one := range simulator.Map.All("HostSystem") {
		host := one.(*simulator.HostSystem)
		at := *host.ConfigManager.DatastoreSystem
		known := simulator.Map.Get(at).(*simulator.HostDatastoreSystem)
		simulator.Map.Put(&storing{*known})
	}
	simulator.Map.AddHandler(users{})
}

// CreateNasDatastore keeps what the datacenter's other hosts have of the same share: vcsim puts a
// new object in its place.
func (s *storing) CreateNasDatastore(
	ctx *simulator.Context, c *types.CreateNasDatastore,
) soap.HasFault {
	known := make(map[ref]*simulator.Datastore)
	for _, one := range simulator.Map.All("Datastore") {
		known[one.Reference()] = one.(*simulator.Datastore)
	}
	answer := s.HostDatastoreSystem.CreateNasDatastore(ctx, c).(*methods.CreateNasDatastoreBody)
	if answer.Res == nil {
		return answer
	}
	now := simulator.Map.Get(answer.Res.Returnval).(*simulator.Datastore)
	if before, ok := known[now.Self]; ok {
		now.Host, now.Vm = before.Host, before.Vm
		folder := simulator.Map.Get(*now.Parent).(*simulator.Folder)
		simulator.RemoveReference(&folder.ChildEntity, now.Self) // it is in there twice
	}
	// vcsim takes the name for a folder of its own; two shares of one name are in two places.
	if seen, err := os.Stat(c.Spec.RemotePath); err == nil && seen.IsDir() {
		now.Info.GetDatastoreInfo().Url, now.Summary.Url = c.Spec.RemotePath, c.Spec.RemotePath
	}
	yes := true
	now.Host = append(now.Host, types.DatastoreHostMount{
		Key: s.Host.Self,
		MountInfo: types.HostMountInfo{
			Path: c.Spec.LocalPath, AccessMode: "readWrite", Mounted: &yes, Accessible: &yes,
		},
	})
	return answer
}

// RemoveDatastore takes a datastore off this host; with the last one that has it, it is gone.
func (s *storing) RemoveDatastore(ctx *simulator.Context, c *types.RemoveDatastore) soap.HasFault {
	answer := new(methods.RemoveDatastoreBody)
	store, ok := simulator.Map.Get(c.Datastore).(*simulator.Datastore)
	if !ok || simulator.FindReference(s.Datastore, c.Datastore) == nil {
		answer.Fault_ = simulator.Fault("", &types.ManagedObjectNotFound{Obj: c.Datastore})
		return answer
	}
	for _, vm := range vms() {
		if *vm.Runtime.Host == s.Host.Self && files(&vm.VirtualMachine)[store.Name] {
			answer.Fault_ = simulator.Fault("", &types.ResourceInUse{Type: "Datastore", Name: store.Name})
			return answer
		}
	}
	for _, vm := range vms() {
		forget(vm, store)
	}
	if len(store.Host) == 1 {
		store.Vm = nil
		store.DestroyTask(ctx, &types.Destroy_Task{This: store.Self})
	}
	for i, mount := range store.Host {
		if mount.Key == s.Host.Self {
			store.Host = append(store.Host[:i], store.Host[i+1:]...)
			break
		}
	}
	simulator.RemoveReference(&s.Datastore, store.Self)
	s.Host.Datastore = s.Datastore
	answer.Res = new(types.RemoveDatastoreResponse)
	return answer
}

func vms() []*simulator.VirtualMachine {
	var all []*simulator.VirtualMachine
	for _, one := range simulator.Map.All("VirtualMachine") {
		if vm := one.(*simulator.VirtualMachine); vm.Runtime.Host != nil && vm.Config != nil {
			all = append(all, vm)
		}
	}
	return all
}

// files returns the names of the datastores that a VM has files on.
func files(vm *mo.VirtualMachine) map[string]bool {
	found := make(map[string]bool)
	var at object.DatastorePath
	if at.FromString(vm.Config.Files.VmPathName) {
		found[at.Datastore] = true
	}
	for _, device := range vm.Config.Hardware.Device {
		backing, ok := device.GetVirtualDevice().Backing.(types.BaseVirtualDeviceFileBackingInfo)
		if ok && at.FromString(backing.GetVirtualDeviceFileBackingInfo().FileName) {
			found[at.Datastore] = true
		}
	}
	return found
}

// forget drops what vcsim remembers of a VM's old files; it looks for the datastore of each.
func forget(vm *simulator.VirtualMachine, store *simulator.Datastore) {
	if files(&vm.VirtualMachine)[store.Name] || !has(vm.Runtime.Host, store.Self) {
		return
	}
	var kept []types.VirtualMachineFileLayoutExFileInfo
	for _, file := range vm.LayoutEx.File {
		if !strings.HasPrefix(file.Name, "["+store.Name+"]") {
			kept = append(kept, file)
		}
	}
	vm.LayoutEx.File = kept
	simulator.RemoveReference(&vm.Datastore, store.Self)
}

func has(host *ref, store ref) bool {
	one, ok := simulator.Map.Get(*host).(*simulator.HostSystem)
	return ok && simulator.FindReference(one.Datastore, store) != nil
}

// users keeps each datastore's list of VMs, and each VM's list of tasks.
type users struct{}

func (users) Reference() ref     { return ref{Type: "Users", Value: "users"} }
func (users) RemoveObject(_ ref) {}
func (users) UpdateObject(o mo.Reference, changes []types.PropertyChange) {
	vm, ok := o.(*mo.VirtualMachine)
	if !ok || vm.Config == nil || vm.Runtime.Host == nil {
		return
	}
	for _, change := range changes {
		if change.Name == "config.hardware.device" || change.Name == "datastore" {
			use(vm)
			return
		}
	}
}

// PutObject gives a VM the tasks that are begun on it.
func (users) PutObject(o mo.Reference) {
	task, ok := o.(*simulator.Task)
	if !ok || task.Info.Entity == nil {
		return
	}
	if vm, ok := simulator.Map.Get(*task.Info.Entity).(*simulator.VirtualMachine); ok {
		recent := append(vm.RecentTask, task.Self)
		vm.RecentTask = recent[max(0, len(recent)-recentTasks):]
	}
}

func max(a, b int) int {
	if a > b {
		return a
	}
	return b
}

func use(vm *mo.VirtualMachine) {
	on := files(vm)
	for _, one := range simulator.Map.All("Datastore") {
		store := one.(*simulator.Datastore)
		if on[store.Name] && has(vm.Runtime.Host, store.Self) {
			simulator.Map.AddReference(store, &store.Vm, vm.Self)
		} else {
			simulator.Map.RemoveReference(store, &store.Vm, vm.Self)
		}
	}
}

// moved lets the files of each VM that was relocated lie where RelocateVM_Task has said that they do.
func moved(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "expected POST", http.StatusBadRequest)
		return
	}
	for _, vm := range vms() {
		var err error
		simulator.Map.WithLock(vm, func() {
			if relocated(vm) {
				err = carry(vm)
			}
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}

// relocated tells whether a VM is on one datastore and a disk of it says that it is on another.
func relocated(vm *simulator.VirtualMachine) bool {
	if len(vm.Datastore) != 1 {
		return false
	}
	on := simulator.Map.Get(vm.Datastore[0]).(*simulator.Datastore).Name
	for _, device := range vm.Config.Hardware.Device {
		var at object.DatastorePath
		disk, ok := device.(*types.VirtualDisk)
		if !ok {
			continue
		}
		backing := disk.Backing.(types.BaseVirtualDeviceFileBackingInfo)
		if at.FromString(backing.GetVirtualDeviceFileBackingInfo().FileName) && at.Datastore != on {
			return true
		}
	}
	return false
}

func carry(vm *simulator.VirtualMachine) error {
	store := simulator.Map.Get(vm.Datastore[0]).(*simulator.Datastore)
	home := object.DatastorePath{Datastore: store.Name, Path: vm.Name}
	folder := path.Join(store.Info.GetDatastoreInfo().Url, home.Path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	number := 0
	for _, device := range vm.Config.Hardware.Device {
		disk, ok := device.(*types.VirtualDisk)
		if !ok {
			continue
		}
		backing := disk.Backing.(types.BaseVirtualDeviceFileBackingInfo).GetVirtualDeviceFileBackingInfo()
		name := fmt.Sprintf("%s_%d", vm.Name, number)
		number++
		old := strings.TrimSuffix(onDisk(vm, backing.FileName), ".vmdk")
		for _, end := range []string{".vmdk", "-flat.vmdk"} {
			if err := carryFile(old+end, path.Join(folder, name+end)); err != nil {
				return err
			}
		}
		backing.FileName, backing.Datastore = home.String()+"/"+name+".vmdk", &store.Self
	}
	if err := carryHome(vm, home, folder); err != nil {
		return err
	}
	vm.LayoutEx.File = nil
	simulator.Map.Update(vm, []types.PropertyChange{
		{Name: "config.hardware.device", Val: vm.Config.Hardware.Device},
		{Name: "datastore", Val: []ref{store.Self}},
	})
	return nil
}

// carryHome moves the VM's own folder.
func carryHome(vm *simulator.VirtualMachine, home object.DatastorePath, folder string) error {
	old := path.Dir(onDisk(vm, vm.Config.Files.VmPathName))
	if old != folder {
		entries, err := os.ReadDir(old)
		if err != nil {
			return err
		}
		for _, one := range entries {
			if err := carryFile(path.Join(old, one.Name()), path.Join(folder, one.Name())); err != nil {
				return err
			}
		}
		if err := os.Remove(old); err != nil {
			return err
		}
	}
	files := &vm.Config.Files
	files.VmPathName = home.String() + "/" + path.Base(files.VmPathName)
	vm.Summary.Config.VmPathName = files.VmPathName
	files.LogDirectory, files.SnapshotDirectory, files.SuspendDirectory = home.String(), home.String(), home.String()
	return nil
}

// onDisk returns where a VM's file is on this machine: names are those of its host's datastores.
func onDisk(vm *simulator.VirtualMachine, file string) string {
	var at object.DatastorePath
	at.FromString(file)
	host := simulator.Map.Get(*vm.Runtime.Host).(*simulator.HostSystem)
	store := simulator.Map.FindByName(at.Datastore, host.Datastore).(*simulator.Datastore)
	return path.Join(store.Info.GetDatastoreInfo().Url, at.Path)
}

func carryFile(from, to string) error {
	if from == to {
		return nil
	}
	body, err := os.ReadFile(from)
	if os.IsNotExist(err) {
		return nil
	}
	if err == nil {
		err = os.WriteFile(to, body, 0o600)
	}
	// What lies on the share is a second name of a layer's file, and the engine's to drop.
	if err == nil {
		err = os.Remove(from)
	}
	return err
}
