package gossip

import "errors"

// foreignError refuses a node of another cluster.
type foreignError struct{ addr, text string }

func (e *foreignError) Error() string { return e.text }

func (e *foreignError) Unwrap() error { return ErrForeign }

// noteForeign tells the owner when the address that is being joined is the one
// of a node of another cluster. Others may reach out to this node as well: that
// is their mistake.
func (g *Gossip) noteForeign(err error) {
	target := g.joining.Load()
	var foreign *foreignError
	if target == nil || g.cfg.OnForeign == nil || !errors.As(err, &foreign) {
		return
	}
	if *target == foreign.addr || sameAddr(*target, foreign.addr) {
		g.cfg.OnForeign(*target, err)
	}
}

// sameAddr compares two addresses of which the first may have a name for a host.
func sameAddr(a, b string) bool {
	hostA, portA, errA := splitAddr(a)
	hostB, portB, errB := splitAddr(b)
	return errA == nil && errB == nil && hostA == hostB && portA == portB
}
