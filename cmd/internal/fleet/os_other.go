//go:build !linux

package fleet

import (
	"os"
	"syscall"
)

// dieWithParent asks for nothing: only Linux ends children with their parent.
func dieWithParent() *syscall.SysProcAttr { return nil }

// terminate asks for a graceful end, which Windows has only as an interrupt.
func terminate(p *os.Process) error { return p.Signal(os.Interrupt) }
