// vcsim for the tests: the distribution's govmomi simulator as a program of its own.
//
// It prints one line, `host:port`, once it answers, and ends when its standard input closes, so that
// no run of the tests leaves one behind. The control port (loopback) takes
//
//	POST /status?code=503     the next answer of /sdk has this HTTP code
//	POST /idle?seconds=1      sessions begun from now on expire after so long without a call
//	POST /moved               the files of each VM that was relocated go where it was told to (disks.go)
//	POST /set?kind=HostSystem&id=host-21&path=runtime.inMaintenanceMode    a property is what the
//	                          body says in JSON, where the API has no way to make it so
//
// It keeps no bytes of disks and enforces no licence, privilege or limit: see docs/ESXI.md.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	_ "github.com/vmware/govmomi/pbm/simulator"
	"github.com/vmware/govmomi/simulator"
	_ "github.com/vmware/govmomi/vapi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

func number(w http.ResponseWriter, r *http.Request, key string) (int, bool) {
	value, err := strconv.Atoi(r.URL.Query().Get(key))
	if err != nil || r.Method != http.MethodPost {
		http.Error(w, "expected POST with "+key, http.StatusBadRequest)
		return 0, false
	}
	return value, true
}

// place finds what a path such as runtime.connectionState names, by the fields of Go's types.
func place(value reflect.Value, path []string) (reflect.Value, bool) {
	for _, name := range path {
		for value.Kind() == reflect.Ptr || value.Kind() == reflect.Interface {
			if value.IsNil() {
				return value, false
			}
			value = value.Elem()
		}
		value = value.FieldByName(strings.ToUpper(name[:1]) + name[1:])
		if !value.IsValid() {
			return value, false
		}
	}
	return value, true
}

func set(w http.ResponseWriter, r *http.Request) {
	told := r.URL.Query()
	ref := types.ManagedObjectReference{Type: told.Get("kind"), Value: told.Get("id")}
	known := simulator.Map.Get(ref)
	if known == nil || r.Method != http.MethodPost {
		http.Error(w, "no such object", http.StatusNotFound)
		return
	}
	simulator.Map.WithLock(known, func() {
		at, ok := place(reflect.ValueOf(known), strings.Split(told.Get("path"), "."))
		if !ok {
			http.Error(w, "no such property", http.StatusNotFound)
			return
		}
		if err := json.NewDecoder(r.Body).Decode(at.Addr().Interface()); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
}

func control(address string) {
	mux := http.NewServeMux()
	mux.HandleFunc("/set", set)
	mux.HandleFunc("/status", func(w http.ResponseWriter, r *http.Request) {
		if code, ok := number(w, r, "code"); ok {
			simulator.StatusSDK = code
		}
	})
	mux.HandleFunc("/idle", func(w http.ResponseWriter, r *http.Request) {
		if seconds, ok := number(w, r, "seconds"); ok {
			simulator.SessionIdleTimeout = time.Duration(seconds) * time.Second
		}
	})
	mux.HandleFunc("/moved", moved)
	mux.HandleFunc("/searched", searched)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("control %s\n", listener.Addr())
	go func() { log.Fatal(http.Serve(listener, mux)) }()
}

func main() {
	esx := flag.Bool("esx", false, "a single ESXi host instead of a vCenter")
	listen := flag.String("l", "127.0.0.2:0", "address of the API")
	ctl := flag.String("ctl", "127.0.0.1:0", "address of the control port")
	user := flag.String("username", "operator", "the only user")
	password := flag.String("password", "s3cret", "its password, for tests only")
	cert := flag.String("tlscert", "", "certificate, PEM")
	key := flag.String("tlskey", "", "its key, PEM")
	datastores := flag.Int("ds", 2, "datastores")
	hosts := flag.Int("hosts", 2, "hosts of the cluster (vCenter)")
	machines := flag.Int("vms", 1, "foreign VMs that are there already")
	datacenters := flag.Int("dc", 1, "datacenters (vCenter)")
	clusters := flag.Int("clusters", 1, "clusters of each datacenter (vCenter)")
	pools := flag.Int("pools", 0, "resource pools of each cluster (vCenter)")
	apps := flag.Int("apps", 0, "vApps of each cluster (vCenter)")
	alone := flag.Int("alone", 1, "hosts beside the clusters (vCenter)")
	folders := flag.Int("folders", 0, "datacenters in a folder, and all of theirs in folders (vCenter)")
	groups := flag.Int("pg", 1, "distributed port groups of each datacenter (vCenter)")
	opaque := flag.Int("nsx", 0, "of those, which an NSX switch backs")
	logical := flag.Int("opaque", 0, "opaque networks of each datacenter, on no switch (vCenter)")
	pods := flag.Int("pods", 0, "storage pods of each datacenter (vCenter)")
	started := flag.Bool("autostart", true, "whether the foreign VMs run")
	flag.Parse()

	model := simulator.VPX()
	if *esx {
		model = simulator.ESX()
	} else {
		model.ClusterHost = *hosts
		model.Datacenter, model.Cluster, model.Host = *datacenters, *clusters, *alone
		model.Pool, model.App, model.Folder = *pools, *apps, *folders
		model.OpaqueNetwork, model.Pod = *logical, *pods
	}
	model.Datastore = *datastores
	model.Machine = *machines
	model.Portgroup, model.PortgroupNSX, model.Autostart = *groups, *opaque, *started
	if err := model.Create(); err != nil {
		log.Fatal(err)
	}
	mountEachByItself()

	pair, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		log.Fatal(err)
	}
	model.Service.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	model.Service.Listen = &url.URL{Host: *listen, User: url.UserPassword(*user, *password)}
	model.Service.RegisterEndpoints = true
	control(*ctl)
	server := model.Service.NewServer()
	fmt.Printf("sdk %s\n", server.URL.Host)
	_, _ = io.Copy(io.Discard, os.Stdin)
	// Closing the server would wait for clients that never hang up.
	model.Remove()
	os.Exit(0)
}
