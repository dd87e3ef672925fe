// Package fleet runs real flotilla processes on loopback: for the demo, for
// benchmarks, and for tests that kill -9.
//
// A Fleet is a set of Processes in one directory; a Process is one
// `flotilla start`, which can be killed, stopped, frozen and started again on
// the same data directory and ports. Its output goes to <dir>/<name>.log. The
// package speaks to a process only by signals and GET /readyz; it makes no
// promise about data. Processes die with the one that started them, where the
// system can arrange that.
package fleet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
)

// Options say what to start.
type Options struct {
	Binary string   // path of the flotilla binary
	Dir    string   // holds a directory and a log file a node
	Nodes  int      // started together as one cluster of that size
	Args   []string // added to each `flotilla start`
	Env    []string // added to the environment of each
}

// Fleet is a set of processes that form one cluster.
type Fleet struct {
	opts      Options
	Processes []*Process
}

// New prepares the processes of a fleet: names n1.., free ports, directories.
// Nothing runs yet.
func New(opts Options) (*Fleet, error) {
	f := &Fleet{opts: opts}
	for range opts.Nodes {
		if _, err := f.Add(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Add prepares one more process, which joins the others when it is started.
func (f *Fleet) Add() (*Process, error) {
	ports, err := freePorts(3, f.taken())
	if err != nil {
		return nil, err
	}
	name := "n" + strconv.Itoa(len(f.Processes)+1)
	p := &Process{
		Name: name, DataDir: filepath.Join(f.opts.Dir, name), LogPath: filepath.Join(f.opts.Dir, name+".log"),
		RPCAddr: ports[0], HTTPAddr: ports[1], GossipAddr: ports[2], fleet: f,
	}
	f.Processes = append(f.Processes, p)
	return p, nil
}

// Start starts every process that does not run and waits until all are ready.
func (f *Fleet) Start(ctx context.Context) error {
	for _, p := range f.Processes {
		if p.Running() {
			continue
		}
		if err := p.Start(); err != nil {
			return err
		}
	}
	for _, p := range f.Processes {
		if err := p.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close kills what still runs and waits for it.
func (f *Fleet) Close() error {
	var errs []error
	for _, p := range f.Processes {
		errs = append(errs, p.Kill())
	}
	return errors.Join(errs...)
}

// RPCAddrs, HTTPAddrs list the addresses of all processes.
func (f *Fleet) RPCAddrs() []string {
	return f.addrs(func(p *Process) string { return p.RPCAddr })
}

// HTTPAddrs lists the HTTP addresses of all processes.
func (f *Fleet) HTTPAddrs() []string {
	return f.addrs(func(p *Process) string { return p.HTTPAddr })
}

func (f *Fleet) addrs(of func(*Process) string) []string {
	out := make([]string, len(f.Processes))
	for i, p := range f.Processes {
		out[i] = of(p)
	}
	return out
}

// args are those of `flotilla start` for p: it finds all others by their gossip
// addresses, and a fleet that is new agrees on its first cluster.
func (f *Fleet) args(p *Process) []string {
	args := []string{
		"start", "--name", p.Name, "--data-dir", p.DataDir,
		"--rpc-addr", p.RPCAddr, "--http-addr", p.HTTPAddr, "--gossip-addr", p.GossipAddr,
	}
	late := len(f.Processes) > f.opts.Nodes && p == f.Processes[len(f.Processes)-1]
	if f.opts.Nodes > 1 && !late {
		args = append(args, "--bootstrap-expect", strconv.Itoa(f.opts.Nodes))
	}
	for _, other := range f.Processes {
		if other != p {
			args = append(args, "--join", other.GossipAddr)
		}
	}
	return append(append(args, f.opts.Args...), p.Args...)
}

// Tail returns the last bytes of a process's log, for a failure's report.
func (p *Process) Tail(limit int) string {
	raw, err := os.ReadFile(p.LogPath)
	if err != nil {
		return err.Error()
	}
	if len(raw) > limit {
		raw = raw[len(raw)-limit:]
	}
	return string(raw)
}
