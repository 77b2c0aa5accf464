// Package kekd runs a real kekd with a keyring of its own for a test, and does to it what happens to real ones.
package kekd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	ring         = "upstream"
	readyTimeout = 30 * time.Second
)

// Kekd owns a folder, a configuration and a process. Not safe for concurrent use, but for Endpoint.
type Kekd struct {
	t       testing.TB
	folder  string
	ring    string
	process *exec.Cmd
	ended   chan struct{} // closed when the process has been waited for
}

// Status is what kekd says of its keyring.
type Status struct {
	KeyID          string
	MustNotEncrypt bool
	Statuses       int
	Encrypts       int
	Decrypts       int
	Failed         int
	Connections    int
}

// New makes a keyring, and starts nothing. Everything is removed when the test ends.
func New(t testing.TB) *Kekd { return NewNamed(t, ring) }

// NewNamed is New with the keyring's name.
func NewNamed(t testing.TB, name string) *Kekd {
	t.Helper()
	// Not t.TempDir(): a socket's path may have 107 bytes.
	folder, err := os.MkdirTemp("/tmp", "kekd-upstream-")
	if err != nil {
		t.Fatal(err)
	}
	k := &Kekd{t: t, folder: folder, ring: name}
	t.Cleanup(func() {
		k.Kill()
		if t.Failed() {
			t.Logf("the end of kekd's log:\n%s", lastLines(k.path("log"), 20))
		}
		os.RemoveAll(folder)
	})
	for _, part := range []string{"state", "keyring"} {
		if err := os.Mkdir(k.path(part), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(k.path("kekd.yaml"), []byte(k.configuration()), 0o600); err != nil {
		t.Fatal(err)
	}
	k.kekctl("keyring", "init")
	return k
}

// Started is New and Start.
func Started(t testing.TB) *Kekd {
	t.Helper()
	k := New(t)
	k.Start()
	return k
}

// Endpoint is the keyring's socket as an EncryptionConfiguration names it.
func (k *Kekd) Endpoint() string { return "unix://" + k.path("kekd.sock") }

// Start returns when kekd is ready.
func (k *Kekd) Start() {
	k.t.Helper()
	log, err := os.OpenFile(k.path("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		k.t.Fatal(err)
	}
	defer log.Close()
	before := k.log()
	k.process = exec.Command(program(k.t, "kekd"), "--config", k.path("kekd.yaml"))
	k.process.Stdout, k.process.Stderr = log, log
	// A test that is killed cannot clean up; the kernel does it.
	k.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := k.process.Start(); err != nil {
		k.t.Fatal(err)
	}
	process, ended := k.process, make(chan struct{})
	k.ended = ended
	go func() {
		process.Wait()
		close(ended)
	}()
	deadline := time.After(readyTimeout)
	for !strings.Contains(k.log()[len(before):], "ready") {
		select {
		case <-ended:
			k.t.Fatalf("kekd ended with %v: %s", process.ProcessState, k.log()[len(before):])
		case <-deadline:
			k.t.Fatalf("kekd is not ready: %s", k.log()[len(before):])
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Stop ends it as an operator does.
func (k *Kekd) Stop() {
	k.t.Helper()
	k.signal(syscall.SIGTERM)
	select {
	case <-k.ended:
	case <-time.After(20 * time.Second):
		k.t.Fatal("kekd does not end on SIGTERM")
	}
	k.process = nil
}

// Kill ends it as a power cut does. A kekd that does not run stays so.
func (k *Kekd) Kill() {
	if k.process == nil {
		return
	}
	k.process.Process.Kill()
	<-k.ended
	k.process = nil
}

// Pause lets it keep its sockets and answer nobody. It returns when all of its threads have stopped.
func (k *Kekd) Pause() {
	k.t.Helper()
	k.signal(syscall.SIGSTOP)
	for deadline := time.Now().Add(10 * time.Second); !k.stopped(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			k.t.Fatal("kekd does not stop on SIGSTOP")
		}
	}
}

// Resume ends a Pause.
func (k *Kekd) Resume() { k.signal(syscall.SIGCONT) }

// Rotate makes a key version the primary; returns its key_id.
func (k *Kekd) Rotate() string {
	k.t.Helper()
	before := k.versions()
	k.kekctl("key", "create", "--keyring", k.ring)
	created := k.versions()[len(before)]
	k.kekctl("key", "promote", fmt.Sprint(created.Version), "--keyring", k.ring)
	return created.KeyID
}

// KeyID is that of the primary, whether kekd runs or not.
func (k *Kekd) KeyID() string {
	k.t.Helper()
	for _, version := range k.versions() {
		if version.State == "active" {
			return version.KeyID
		}
	}
	k.t.Fatal("no key version is active")
	return ""
}

// Status asks kekd.
func (k *Kekd) Status() Status {
	k.t.Helper()
	var answer struct{ Keyrings []Status }
	k.kekctlJSON(&answer, "status")
	return answer.Keyrings[0]
}

// BreakKey gives a version of a kekd that does not run another key's material: it opens, and decrypts nothing.
func (k *Kekd) BreakKey(version int) {
	k.t.Helper()
	if out, err := exec.Command(program(k.t, "break_key"), k.path("kekd.yaml"), fmt.Sprint(version)).CombinedOutput(); err != nil {
		k.t.Fatalf("break_key: %v\n%s", err, out)
	}
}

type version struct {
	Version int
	KeyID   string
	State   string
}

func (k *Kekd) versions() []version {
	k.t.Helper()
	var answer struct{ Versions []version }
	k.kekctlJSON(&answer, "key", "list", "--keyring", k.ring)
	return answer.Versions
}

func (k *Kekd) kekctlJSON(answer any, arguments ...string) {
	k.t.Helper()
	if err := json.Unmarshal(k.kekctl(append([]string{"-o", "json"}, arguments...)...), answer); err != nil {
		k.t.Fatal(err)
	}
}

func (k *Kekd) kekctl(arguments ...string) []byte {
	k.t.Helper()
	command := exec.Command(program(k.t, "kekctl"), append([]string{"--config", k.path("kekd.yaml")}, arguments...)...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		k.t.Fatalf("kekctl %v: %v\n%s%s", arguments, err, out, stderr.Bytes())
	}
	return out
}

func (k *Kekd) signal(number syscall.Signal) {
	k.t.Helper()
	if k.process == nil {
		k.t.Fatal("kekd does not run")
	}
	if err := k.process.Process.Signal(number); err != nil {
		k.t.Fatal(err)
	}
}

func (k *Kekd) stopped() bool {
	k.t.Helper()
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", k.process.Process.Pid))
	if err != nil || len(stats) == 0 {
		k.t.Fatalf("kekd's threads: %v, %v", stats, err)
	}
	for _, path := range stats {
		text, _ := os.ReadFile(path) // a thread that is gone does nothing either
		if _, state, found := bytes.Cut(text, []byte(") ")); found && state[0] != 'T' {
			return false
		}
	}
	return true
}

func (k *Kekd) path(name string) string { return filepath.Join(k.folder, name) }

func (k *Kekd) log() string {
	text, _ := os.ReadFile(k.path("log")) // there is none before the first start
	return string(text)
}

func (k *Kekd) configuration() string {
	return strings.NewReplacer("FOLDER", k.folder, "RING", k.ring).Replace(`apiVersion: kekd.dev/v1
kind: KekdConfiguration
stateDirectory: FOLDER/state
admin:
  socket:
    path: FOLDER/admin.sock
keyrings:
- name: RING
  directory: FOLDER/keyring
  unlock:
  - keyFile: FOLDER/keyring.key
  socket:
    path: FOLDER/kekd.sock
`)
}

// program is a binary of the build under test: KEKD_BIN_DIR, as ctest sets it.
func program(t testing.TB, name string) string {
	t.Helper()
	folder := os.Getenv("KEKD_BIN_DIR")
	if folder == "" {
		t.Fatal("KEKD_BIN_DIR is not set: the folder of kekd and kekctl")
	}
	return filepath.Join(folder, name)
}

func lastLines(path string, count int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}
