package fleet

import (
	"fmt"
	"os"
	"syscall"
)

// dieWithParent makes the kernel kill the child when the thread that started it ends.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// Freeze stops the process without closing its connections (SIGSTOP).
func (p *Process) Freeze() error { return p.signal("freeze", syscall.SIGSTOP) }

// Thaw continues a frozen process.
func (p *Process) Thaw() error { return p.signal("thaw", syscall.SIGCONT) }

func (p *Process) signal(what string, s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("%s %s: %w", what, p.Name, err)
	}
	return nil
}
