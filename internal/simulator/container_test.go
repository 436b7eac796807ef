package simulator

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder is a backend that remembers what was started and, when told so, serves.
type recorder struct {
	serve bool
	mu    sync.Mutex
	specs []BackendSpec
	stops int
	set   []BackendFault
}

// Start implements Backend.
func (b *recorder) Start(_ context.Context, spec BackendSpec) (BackendInstance, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.specs = append(b.specs, spec)
	i := &recorded{backend: b}
	if listen := spec.Ports[comfyPort]; b.serve && listen != nil {
		listener, err := listen()
		if err != nil {
			return nil, err
		}
		i.server = &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(rw, "backend")
		})}
		i.done = make(chan struct{})
		go func() {
			defer close(i.done)
			i.server.Serve(listener)
		}()
	}
	return i, nil
}

type recorded struct {
	backend *recorder
	server  *http.Server
	done    chan struct{}
}

// SetFault implements BackendInstance.
func (i *recorded) SetFault(name string, params map[string]string) error {
	i.backend.mu.Lock()
	defer i.backend.mu.Unlock()
	i.backend.set = append(i.backend.set, BackendFault{name, params})
	return nil
}

// ClearFault implements BackendInstance.
func (i *recorded) ClearFault(string) {
	i.backend.mu.Lock()
	defer i.backend.mu.Unlock()
	i.backend.set = nil
}

// Stop implements BackendInstance.
func (i *recorded) Stop() {
	if i.server != nil {
		i.server.Close()
		<-i.done
	}
	i.backend.mu.Lock()
	defer i.backend.mu.Unlock()
	i.backend.stops++
}

// Logs implements BackendInstance.
func (i *recorded) Logs(int) []string { return []string{"one", "two", "three"} }

// TestContainerEnvironment proves what a container sees beside what was given.
func TestContainerEnvironment(t *testing.T) {
	backend := &recorder{}
	s := startSim(t, func(c *Config) { c.Backend = backend })
	s.do("POST", "/api/v0/secrets/", `{"key":"hf_token","value":"abc"}`)
	r := s.do("PUT", "/api/v0/asks/1/", `{"image":"img","disk":20,"onstart":"go","runtype":"ssh_direc ssh_proxy","env":{
		"-p 8188:8188":"1","-p 1111:1111":"1","-p 70000:70000":"1","-p 72000:72000/udp":"1","-h host":"1","A":"b","OPEN_BUTTON_TOKEN":"1"}}`)
	s.step(readyAfter)
	id := integer(r.json["new_contract"])
	row := s.get(id)
	spec := backend.specs[0]
	ports, _ := row["ports"].(map[string]any)
	if len(ports) != 5 {
		t.Errorf("ports %v", ports)
	}
	_, portal, _ := strings.Cut(s.address(id, "1111/tcp"), ":")
	identity := spec.Env["VAST_TCP_PORT_70000"]
	for name, value := range map[string]string{
		"A": "b", "HF_TOKEN": "abc", "CONTAINER_ID": fmt.Sprint(id), "VAST_CONTAINERLABEL": fmt.Sprint("C.", id),
		"PUBLIC_IPADDR": "127.0.0.1", "VAST_TCP_PORT_1111": portal, "GPU_COUNT": "1", "DATA_DIRECTORY": "/workspace/",
		"CONTAINER_API_KEY": fmt.Sprint(r.json["instance_api_key"]), "OPEN_BUTTON_TOKEN": fmt.Sprint(row["jupyter_token"]),
	} {
		if spec.Env[name] != value {
			t.Errorf("%s is not what it should be", name)
		}
	}
	if identity == "" || ports[identity+"/tcp"] == nil || spec.Env["VAST_TCP_PORT_"+identity] != identity {
		t.Errorf("port 70000 must be mapped to itself: %q in %v", identity, ports)
	}
	if spec.Env["VAST_UDP_PORT_72000"] == "" || spec.Env["-h host"] != "" {
		t.Error("the environment has a flag, or lacks the UDP port")
	}
	if spec.Image != "img" || spec.OnStart != "go" || spec.GPUName != "RTX 4090" || spec.GPUs != 1 || spec.DiskGB != 20 || spec.Boot != 1 {
		t.Errorf("image %q, GPU %q × %d", spec.Image, spec.GPUName, spec.GPUs)
	}
	conn, err := net.Dial("tcp", s.address(id, "22/tcp"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(line, "SSH-2.0-") {
		t.Errorf("ssh: %q %v", line, err)
	}
}

// TestPortsFollowTheLife proves that ports open with the container and refuse after it.
func TestPortsFollowTheLife(t *testing.T) {
	backend := &recorder{serve: true}
	s := startSim(t, func(c *Config) { c.Backend = backend })
	id := s.rentReady(1, "a")
	address := s.address(id, "8188/tcp")
	if r := s.raw("GET", "http://"+address, "", ""); string(r.body) != "backend" {
		t.Fatalf("%s %v", r.body, r.err)
	}
	put(`{"state":"stopped"}`)(s, id)
	s.step(2 * time.Second)
	if r := s.raw("GET", "http://"+address, "", ""); r.err == nil || !strings.Contains(r.err.Error(), "refused") {
		t.Errorf("stopped: %s %v", r.body, r.err)
	}
	put(`{"state":"running"}`)(s, id)
	s.step(time.Minute)
	if r := s.raw("GET", "http://"+s.address(id, "8188/tcp"), "", ""); string(r.body) != "backend" {
		t.Errorf("started again: %s %v", r.body, r.err)
	}
	if first, second := backend.specs[0], backend.specs[1]; second.Boot != 2 || first.Seed != second.Seed {
		t.Errorf("boot %d with another seed: %t", second.Boot, first.Seed != second.Seed)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if backend.stops != 2 {
		t.Errorf("%d of 2 containers were stopped", backend.stops)
	}
}

func TestLogs(t *testing.T) {
	s := startSim(t, func(c *Config) { c.Backend = &recorder{} })
	id := s.rentReady(1, "a")
	for name, tc := range map[string]struct{ body, want string }{
		"tail":   {`{"tail":"2"}`, "two\nthree\n"},
		"filter": {`{"tail":"1000","filter":"o"}`, "one\ntwo\n"},
		"daemon": {`{"daemon_logs":"true"}`, fmt.Sprintf("daemon: contract %d on machine 100\nsuccess, running vastai/comfy/ssh\n", id)},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.do("PUT", fmt.Sprintf("/api/v0/instances/request_logs/%d/", id), tc.body)
			url, _ := r.json["result_url"].(string)
			for range readsBeforeUpload {
				if early := s.raw("GET", url, "", ""); early.status != 403 {
					t.Errorf("too early: %d", early.status)
				}
			}
			if got := s.raw("GET", url, "", ""); string(got.body) != tc.want {
				t.Errorf("%q, want %q", got.body, tc.want)
			}
		})
	}
	if r := s.do("PUT", "/api/v0/instances/request_logs/5/", "{}"); r.status != 404 || r.json["error"] != "invalid_id" {
		t.Errorf("unknown: %d %s", r.status, r.body)
	}
}

// TestComfyBackend rents, waits for the simulated ComfyUI, and talks to it with
// the password that the rent gave.
func TestComfyBackend(t *testing.T) {
	s := startSim(t, func(c *Config) { c.Backend = NewComfyBackend() })
	r := s.do("PUT", "/api/v0/asks/1/", `{"image":"vastai/comfy","disk":40,"env":{"-p 8188:8188":"1","-p 1111:1111":"1","WEB_PASSWORD":"test-password",
		"PORTAL_CONFIG":"localhost:1111:11111:/:Instance Portal|localhost:8188:18188:/:ComfyUI"}}`)
	id := integer(r.json["new_contract"])
	s.step(readyAfter)
	address := "http://" + s.address(id, "8188/tcp")
	if r := s.raw("GET", address+"/prompt", "", "test-password"); r.err == nil {
		t.Errorf("before Caddy is up: %d %s", r.status, r.body)
	}
	up := func(key string) reply {
		var r reply
		for range 600 { // ten simulated minutes at most
			s.step(time.Second)
			if r = s.raw("GET", address+"/prompt", "", key); r.status == 200 && r.json["exec_info"] != nil {
				return r
			}
		}
		return r
	}
	if r := up("test-password"); r.status != 200 {
		t.Fatalf("%d %s %v", r.status, r.body, r.err)
	}
	if r := s.raw("GET", address+"/prompt", "", "wrong"); r.status != 401 {
		t.Errorf("wrong password: %d", r.status)
	}
	if r := s.admin("POST", fmt.Sprintf("/rentals/%d/fault", id), `{"name":"nonsense"}`); r.status != 400 {
		t.Errorf("unknown fault: %d %s", r.status, r.body)
	}
	stats := s.raw("GET", address+"/system_stats", "", "test-password")
	if !strings.Contains(string(stats.body), "RTX 4090") {
		t.Errorf("system_stats %s", stats.body)
	}
	destroy(s, id)
	if _, err := net.Dial("tcp", strings.TrimPrefix(address, "http://")); err == nil {
		t.Error("destroyed, and the port answers")
	}
}

// TestGateHoldsNobodyBack proves that a blocked gate that closes lets waiting callers go.
func TestGateHoldsNobodyBack(t *testing.T) {
	s := startSim(t, func(c *Config) { c.Backend = &recorder{serve: true} })
	id := s.rentReady(1, "a")
	address := s.address(id, "8188/tcp")
	s.fault(FaultSpec{Name: FaultOffline})
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	destroy(s, id)
	if data, err := io.ReadAll(conn); len(data) > 0 {
		t.Errorf("%q %v", data, err)
	}
}
