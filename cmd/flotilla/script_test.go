package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/flotilla-db/flotilla/cmd/internal/fleet"
)

// TestMain lets the scripts call this very binary as `flotilla`.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"flotilla": main})
}

// TestScripts runs testdata/script/*.txtar: one situation a file. Those that need nodes begin with `cluster N`.
func TestScripts(t *testing.T) {
	weather, err := filepath.Abs("../../testdata/weather")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("WEATHER", weather)
			e.Setenv("FLOTILLA_ADDR", "127.0.0.1:1") // no node: a script without a cluster never meets a real one
			e.Values[clusterKey{}] = &cluster{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"cluster":    startCluster,
			"node":       nodeCommand,
			"exits":      exits,
			"eventually": eventually,
		},
	})
}

// nodesReadyWithin bounds the start of the nodes of a script; a busy machine is slow.
const nodesReadyWithin = 2 * time.Minute

type clusterKey struct{}

// cluster is what a script's nodes are, nil before `cluster N`.
type cluster struct{ fleet *fleet.Fleet }

func clusterOf(ts *testscript.TestScript) *cluster { return ts.Value(clusterKey{}).(*cluster) }

// startCluster is `cluster N [FLAG...]`: N nodes, ready, at $FLOTILLA_ADDR and $ADDR1.. $ADDRN, data in $DATA1..
func startCluster(ts *testscript.TestScript, negated bool, arguments []string) {
	if negated || len(arguments) < 1 {
		ts.Fatalf("usage: cluster N [FLAG...]")
	}
	if testing.Short() {
		ts.Fatalf("cluster scripts are skipped with [short]")
	}
	count := 0
	_, err := fmt.Sscan(arguments[0], &count)
	ts.Check(err)
	binary, err := exec.LookPath("flotilla")
	ts.Check(err)
	f, err := fleet.New(fleet.Options{Binary: binary, Dir: ts.Getenv("WORK"), Nodes: count, Args: arguments[1:]})
	ts.Check(err)
	ts.Defer(func() { f.Close() })
	clusterOf(ts).fleet = f
	ctx, cancel := context.WithTimeout(context.Background(), nodesReadyWithin)
	defer cancel()
	if err := f.Start(ctx); err != nil {
		for _, p := range f.Processes {
			ts.Logf("%s: %s", p.Name, p.Tail(4000))
		}
		ts.Fatalf("start cluster: %v", err)
	}
	var all []string
	for i, p := range f.Processes {
		all = append(all, p.HTTPAddr)
		ts.Setenv(fmt.Sprintf("ADDR%d", i+1), p.HTTPAddr)
		ts.Setenv(fmt.Sprintf("DATA%d", i+1), p.DataDir)
	}
	ts.Setenv("FLOTILLA_ADDR", strings.Join(all, ","))
}

// nodeCommand is `node kill|stop|start N`: kill -9, SIGTERM, and a start that waits until the node is ready.
func nodeCommand(ts *testscript.TestScript, negated bool, arguments []string) {
	number := 0
	if negated || len(arguments) != 2 || clusterOf(ts).fleet == nil {
		ts.Fatalf("usage, after cluster: node kill|stop|start N")
	}
	_, err := fmt.Sscan(arguments[1], &number)
	ts.Check(err)
	p := clusterOf(ts).fleet.Processes[number-1]
	ctx, cancel := context.WithTimeout(context.Background(), nodesReadyWithin)
	defer cancel()
	switch arguments[0] {
	case "kill":
		ts.Check(p.Kill())
	case "stop":
		ts.Check(p.Stop(ctx))
	case "start":
		ts.Check(p.Start())
		ts.Check(p.AwaitReady(ctx))
	default:
		ts.Fatalf("node %s is not kill, stop or start", arguments[0])
	}
}

// exits is `exits CODE COMMAND...`: the command ends with exactly this code.
func exits(ts *testscript.TestScript, negated bool, arguments []string) {
	if negated || len(arguments) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	err := ts.Exec(arguments[1], arguments[2:]...)
	code := 0
	if failure, ok := err.(*exec.ExitError); ok {
		code = failure.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(code) != arguments[0] {
		ts.Fatalf("%s ended with %d, not %s", strings.Join(arguments[1:], " "), code, arguments[0])
	}
}

// eventually is `eventually COMMAND...`: the command is repeated until it ends well.
func eventually(ts *testscript.TestScript, negated bool, arguments []string) {
	if negated || len(arguments) == 0 {
		ts.Fatalf("usage: eventually COMMAND...")
	}
	for deadline := time.Now().Add(nodesReadyWithin); ; {
		err := ts.Exec(arguments[0], arguments[1:]...)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: %v", strings.Join(arguments, " "), err)
		}
	}
}
