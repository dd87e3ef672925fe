package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"time"
)

// readyPoll is the pause between two looks at /readyz.
const readyPoll = 20 * time.Millisecond

// Process is one `flotilla start`.
type Process struct {
	Name                          string
	DataDir, LogPath              string
	RPCAddr, HTTPAddr, GossipAddr string
	Args                          []string // of its own, behind those of all

	fleet *Fleet
	cmd   *exec.Cmd
	done  chan struct{} // closed when cmd has ended
	err   error         // why; valid after done
}

// Start runs the process; it returns before it is ready.
func (p *Process) Start() error {
	if p.Running() {
		return fmt.Errorf("start %s: it runs", p.Name)
	}
	log, err := os.OpenFile(p.LogPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer log.Close() // the child has its own
	cmd := exec.Command(p.fleet.opts.Binary, p.fleet.args(p)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), p.fleet.opts.Env...)
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.cmd, p.done = cmd, make(chan struct{})
	go func(done chan struct{}) { // ends with the child, which Kill and Stop await
		p.err = cmd.Wait()
		close(done)
	}(p.done)
	return nil
}

// Running reports whether the process was started and has not ended.
func (p *Process) Running() bool {
	if p.done == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// PID is the process id, 0 if it never ran.
func (p *Process) PID() int {
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (p *Process) Kill() error {
	if !p.Running() {
		return nil
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.Name, err)
	}
	<-p.done
	return nil
}

// Stop ends the process as an operator would, and returns its exit error.
func (p *Process) Stop(ctx context.Context) error {
	if !p.Running() {
		return nil
	}
	if err := terminate(p.cmd.Process); err != nil {
		return fmt.Errorf("stop %s: %w", p.Name, err)
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("stop %s: %w", p.Name, ctx.Err())
	}
}

// AwaitEnd waits until the process has ended by itself, and returns its exit error.
func (p *Process) AwaitEnd(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("%s runs: %w", p.Name, ctx.Err())
	}
}

// AwaitReady waits until /readyz answers 200, or says why it never will.
func (p *Process) AwaitReady(ctx context.Context) error {
	var last string
	for {
		ready, state := p.ready(ctx)
		if ready {
			return nil
		}
		last = state
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready: %v\n%s", p.Name, p.err, p.Tail(2000))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %s", p.Name, ctx.Err(), last)
		case <-time.After(readyPoll):
		}
	}
}

func (p *Process) ready(ctx context.Context) (bool, string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.HTTPAddr+"/readyz", nil)
	if err != nil {
		return false, err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return false, err.Error()
	}
	return resp.StatusCode == http.StatusOK, string(body)
}
