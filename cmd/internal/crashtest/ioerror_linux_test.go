package crashtest

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// A disk that fails: fdatasync of a running node begins to answer EIO. What it does with that is unknown, so the node
// ends by itself at once, and the others go on. Back on a disk that works, it has everything.
func TestIOErrorEndsTheProcess(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: apt-get install strace")
	}
	r := newRig(t, plan{nodes: 3, devices: 300, rate: 500})
	r.resume()
	r.awaitAcks(ackedEachRound)
	victim := r.Processes[0]
	c := exec.Command(strace, "-f", "-qq", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO",
		"-o", "/dev/null", "-p", strconv.Itoa(victim.PID()))
	var said strings.Builder
	c.Stderr = &said
	must(t, c.Start())
	defer func() {
		c.Process.Kill()
		c.Wait()
	}()
	r.until("strace has begun, or cannot", func() bool {
		return !victim.Running() || said.Len() > 0
	})
	if strings.Contains(said.String(), "not permitted") {
		t.Skipf("strace may not attach here: %s", said.String())
	}
	r.failStop(victim)
	if line := lastLine(victim); !strings.Contains(line, "input/output error") {
		t.Errorf("the last line of a node whose disk failed: %q, of\n%s", line, victim.Tail(tailBytes))
	}
	r.ledger.ResetWaits()
	r.awaitAllGroups()
	r.check("with n1 stopped by its disk", r.Processes[1], r.Processes[2])
	r.start()
	r.check("after n1 was back", victim)
	r.verify()
}
