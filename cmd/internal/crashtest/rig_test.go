package crashtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/cmd/internal/fleet"
	"github.com/flotilla-db/flotilla/cmd/internal/ledger"
	"github.com/flotilla-db/flotilla/rpc/api"
)

const (
	totalGroups = 256
	// patience bounds every wait: the machine may be busy, but not for ever.
	patience = 90 * time.Second
	poll     = 20 * time.Millisecond
	// stopLimit is how long SIGTERM and a fail-stop may take, by the interface.
	stopLimit = 15 * time.Second
	tailBytes = 6000
)

// plan of a rig.
type plan struct {
	nodes   int
	tag     string                  // build tag of the binary
	args    []string                // of every `flotilla start`
	argsOf  func(node int) []string // of one of them, behind those; nil: none
	env     []string                // of every process
	devices int
	rate    float64 // points a second
	dataDir string  // of the first node; "" for one of its own
}

// rig is a fleet, a load, and the ledger of what was acknowledged.
type rig struct {
	*fleet.Fleet
	t       *testing.T
	ledger  *ledger.Ledger
	remotes []*ledger.Remote
	admin   *apiclient.Client
	rate    float64
	closed  bool

	cancel context.CancelFunc // of the load; nil while it is quiet
	done   chan struct{}
}

// newRig starts the nodes and waits until they are ready.
func newRig(t *testing.T, p plan) *rig {
	t.Helper()
	level := "warn"
	if os.Getenv("CRASH_EVIDENCE") != "" {
		level = "debug"
	}
	args := append([]string{"--log-level", level}, p.args...)
	f, err := fleet.New(fleet.Options{Binary: binary(t, p.tag), Dir: t.TempDir(), Nodes: p.nodes, Args: args, Env: p.env})
	must(t, err)
	if p.dataDir != "" {
		f.Processes[0].DataDir = p.dataDir
	}
	for i, process := range f.Processes {
		if p.argsOf != nil {
			process.Args = p.argsOf(i)
		}
	}
	r := &rig{Fleet: f, t: t, rate: p.rate, ledger: ledger.New(ledger.Plan{Database: "crash", Collection: "readings",
		Devices: p.devices, Start: time.Unix(1_700_000_000, 0), Step: time.Second}, totalGroups)}
	t.Cleanup(r.close)
	r.remotes, err = ledger.DialEach(f.RPCAddrs())
	must(t, err)
	r.admin, err = apiclient.New(f.HTTPAddrs(), 10*time.Second)
	must(t, err)
	r.start()
	return r
}

// close ends everything, once, and shows what the nodes said where the test has failed.
func (r *rig) close() {
	if r.closed {
		return
	}
	r.closed = true
	if r.t.Failed() {
		r.evidence()
	}
	r.pause()
	for _, remote := range r.remotes {
		remote.Close()
	}
	if r.admin != nil {
		r.admin.Close()
	}
	if err := r.Close(); err != nil {
		r.t.Errorf("close the fleet: %v", err)
	}
	if r.t.Failed() {
		for _, p := range r.Processes {
			r.t.Logf("the last words of %s:\n%s", p.Name, p.Tail(tailBytes))
		}
	}
}

// evidence writes what running nodes do now, and what all have logged, to CRASH_EVIDENCE, if that names a directory.
func (r *rig) evidence() {
	dir := os.Getenv("CRASH_EVIDENCE")
	if dir == "" {
		return
	}
	for _, p := range r.Processes {
		os.WriteFile(filepath.Join(dir, p.Name+".log"), []byte(p.Tail(100<<20)), 0o644)
		answer, err := http.Get("http://" + p.HTTPAddr + "/debug/pprof/goroutine?debug=2")
		if err != nil {
			continue // it is down
		}
		stacks, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		os.WriteFile(filepath.Join(dir, p.Name+".stacks"), stacks, 0o644)
	}
}

// start starts what does not run, and waits until all are ready.
func (r *rig) start() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	must(r.t, r.Start(ctx))
}

// resume lets the devices write, through some nodes or all.
func (r *rig) resume(through ...int) {
	ctx, cancel := context.WithCancel(context.Background()) // ended by pause
	r.cancel, r.done = cancel, make(chan struct{})
	remotes := r.remotes
	if len(through) > 0 {
		remotes = nil
		for _, i := range through {
			remotes = append(remotes, r.remotes[i])
		}
	}
	load := ledger.Load{Ledger: r.ledger, Sinks: ledger.Sinks(remotes), Callers: r.ledger.Devices, Rate: r.rate}
	go func(done chan struct{}) { // ends with pause
		defer close(done)
		load.Run(ctx)
	}(r.done)
}

// pause stops the devices in mid-write.
func (r *rig) pause() {
	if r.cancel != nil {
		r.cancel()
		<-r.done
		r.cancel = nil
	}
}

// awaitAcks waits until so many more points were acknowledged.
func (r *rig) awaitAcks(n int) {
	r.t.Helper()
	want := r.ledger.Acked() + n
	r.until("points are acknowledged", func() bool { return r.ledger.Acked() >= want })
}

// awaitAllGroups waits until every group that has a device has acknowledged a write begun since ResetWaits.
func (r *rig) awaitAllGroups() ledger.Wait {
	r.t.Helper()
	want := r.ledger.Groups()
	var longest ledger.Wait
	r.until("every group takes writes", func() bool {
		wait, groups := r.ledger.LongestWait()
		longest = wait
		return groups >= want
	})
	return longest
}

// awaitSettled waits until every group that has a device is led and has all its replicas ready.
func (r *rig) awaitSettled() {
	r.t.Helper()
	want := r.ledger.Groups()
	r.until("all groups are settled", func() bool {
		groups := r.groups()
		for i := range groups {
			if !groups[i].Healthy() {
				return false
			}
		}
		return len(groups) >= want
	})
}

// until waits for a condition.
func (r *rig) until(what string, holds func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: not within %v\n%s", what, patience, r.unhealthy())
		}
		time.Sleep(poll)
	}
}

// check stops the devices, reads every one back through some nodes (all, if none is named), and fails the test
// unless every promise was kept.
func (r *rig) check(when string, through ...*fleet.Process) ledger.Report {
	r.t.Helper()
	report := r.report(through...)
	if !report.OK() {
		r.t.Fatalf("%s: %s\n%s", when, report, strings.Join(report.Examples, "\n"))
	}
	return report
}

func (r *rig) report(through ...*fleet.Process) ledger.Report {
	r.t.Helper()
	r.pause()
	if len(through) == 0 {
		through = r.Processes
	}
	var addrs []string
	for _, p := range through {
		addrs = append(addrs, p.RPCAddr)
	}
	source, err := ledger.Dial(addrs...)
	must(r.t, err)
	defer source.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	report, err := r.ledger.Check(ctx, source)
	if err != nil {
		r.t.Fatalf("%v\n%s", err, r.unhealthy())
	}
	return report
}

// unhealthy is the group table of what is not well, for a failure's report.
func (r *rig) unhealthy() []byte {
	out, _ := r.flotilla("groups", "list", "--unhealthy", "-o", "wide")
	lines := bytes.Split(out, []byte("\n"))
	slices.SortStableFunc(lines[1:], func(a, b []byte) int { // those without a leader first
		return cmp.Compare(bytes.Index(b, []byte(" none ")), bytes.Index(a, []byte(" none ")))
	})
	return bytes.Join(lines[:min(len(lines), 20)], []byte("\n"))
}

// verify runs `flotilla verify --all` until it is clean.
func (r *rig) verify() {
	r.t.Helper()
	var out []byte
	code := -1
	r.until("verify --all is clean", func() bool {
		out, code = r.flotilla("verify", "--all")
		return code == 0 || code == 5
	})
	if code != 0 {
		r.t.Fatalf("verify --all: exit code %d\n%s", code, out)
	}
}

// flotilla runs a command against all nodes and returns what it said and its exit code.
func (r *rig) flotilla(args ...string) ([]byte, int) {
	r.t.Helper()
	out, code, err := r.command(binary(r.t, ""), args...)
	must(r.t, err)
	return out, code
}

// command is flotilla for a goroutine that is not the test's.
func (r *rig) command(binary string, args ...string) (out []byte, code int, err error) {
	c := exec.CommandContext(r.t.Context(), binary, args...)
	c.Env = append(os.Environ(), "FLOTILLA_ADDR="+strings.Join(r.HTTPAddrs(), ","))
	out, err = c.CombinedOutput()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return out, failed.ExitCode(), nil
	}
	return out, 0, err
}

// groups is the group table.
func (r *rig) groups() []api.Group {
	r.t.Helper()
	var l api.GroupList
	_, err := r.admin.Get(r.t.Context(), "/v1/admin/groups", nil, &l)
	must(r.t, err)
	return l.Groups
}

// nodeNames lists the members of the cluster.
func (r *rig) nodeNames() (names []string) {
	r.t.Helper()
	var l api.NodeList
	_, err := r.admin.Get(r.t.Context(), "/v1/admin/nodes", nil, &l)
	must(r.t, err)
	for _, n := range l.Nodes {
		names = append(names, n.Name)
	}
	return names
}

// leads counts the groups that a node leads.
func (r *rig) leads(p *fleet.Process) (n int) {
	r.t.Helper()
	for _, g := range r.groups() {
		if g.Leader != nil && *g.Leader == p.Name {
			n++
		}
	}
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// failStop waits until a node whose disk has failed ends by itself, with an exit code that is not 0.
func (r *rig) failStop(p *fleet.Process) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), stopLimit)
	defer cancel()
	err := p.AwaitEnd(ctx)
	if failed, ok := errors.AsType[*exec.ExitError](err); !ok || failed.ExitCode() <= 0 {
		r.t.Fatalf("%s has not stopped by itself with an error after its disk failed: %v", p.Name, err)
	}
}

// lastLine is what a process said last.
func lastLine(p *fleet.Process) string {
	lines := bytes.Split(bytes.TrimSpace([]byte(p.Tail(tailBytes))), []byte("\n"))
	return string(lines[len(lines)-1])
}
