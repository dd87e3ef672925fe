package gossip

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

const (
	// rejoinFirst is how often seeds are tried while nobody else is here;
	// the pause doubles up to rejoinEvery.
	rejoinFirst = time.Second
	rejoinEvery = 15 * time.Second
	// maxTargets bounds the addresses that are tried in one round.
	maxTargets = 32
	// movedFor is how long after the last sign that others know this node at
	// an old address it goes on telling them the new one.
	movedFor   = 10 * time.Second
	movedEvery = 2 * time.Second
)

// rejoin tries seeds and the last known peers for ever. memberlist does not:
// a node that was cut off forgets the others and stays alone.
func (g *Gossip) rejoin(ctx context.Context) {
	turn := 0
	for pause := rejoinFirst; ; {
		targets := g.targets()
		for i := range min(len(targets), maxTargets) {
			if ctx.Err() != nil {
				return
			}
			g.tryJoin(targets[(turn+i)%len(targets)])
		}
		turn += maxTargets
		saw := g.sawMove
		if g.hasMoved() {
			pause, saw = movedEvery, nil // each round sees the old address again
		} else if g.alone() {
			pause = min(2*pause, rejoinEvery)
		} else {
			pause = rejoinEvery
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-saw:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// noteMove is called when others announce this node at an old address. They
// take the new one from an exchange after the old one was given up.
func (g *Gossip) noteMove() {
	g.movedAt.Store(time.Now().UnixNano())
	select {
	case g.sawMove <- struct{}{}:
	default:
	}
}

func (g *Gossip) hasMoved() bool {
	at := g.movedAt.Load()
	return at != 0 && time.Since(time.Unix(0, at)) < movedFor
}

// targets lists the addresses of nodes that are not here, in a fixed order,
// and after a change of our address those of the others too.
func (g *Gossip) targets() []string {
	all := slices.Clone(g.cfg.Seeds)
	if g.cfg.Peers != nil {
		all = append(all, g.cfg.Peers()...)
	}
	here := map[string]bool{"": true, g.Addr(): true}
	moved := g.hasMoved()
	for _, m := range g.Members() {
		if m.NodeID == g.cfg.Self {
			continue
		}
		if m.State == membership.NodeUp && !moved {
			here[m.Addr] = true
		} else {
			all = append(all, m.Addr)
		}
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(addr string) bool { return here[addr] })
}

func (g *Gossip) alone() bool {
	for _, m := range g.Members() {
		if m.State == membership.NodeUp && m.NodeID != g.cfg.Self {
			return false
		}
	}
	return true
}

func (g *Gossip) tryJoin(addr string) {
	g.joining.Store(&addr)
	defer g.joining.Store(nil)
	if _, err := g.list.Join([]string{addr}); err != nil {
		why := &joinError{addr, err}
		text := why.Error()
		g.trouble.Store(&text)
		if g.refusals.due(why.Error()) {
			g.logger.Warn("cannot join", "addr", addr, "why", why)
		}
	}
}

// joinError puts memberlist's errors, which span lines, on one line, with what
// an operator may look at.
type joinError struct {
	addr string
	err  error
}

func (e *joinError) Unwrap() error { return e.err }

func (e *joinError) Error() string {
	text := strings.TrimPrefix(strings.Join(strings.Fields(e.err.Error()), " "), "1 error occurred: * ")
	text = strings.TrimPrefix(text, "failed to join "+e.addr+": ")
	hint := "it is tried again for ever"
	switch {
	case strings.Contains(text, "EOF"), strings.Contains(text, "connection reset"):
		hint = "it answers and hangs up: is it of another --cluster, or has it another --cluster-key-file?"
	case strings.Contains(text, "ncrypt"):
		hint = "the cluster keys differ: check --cluster-key-file"
	}
	return "join " + e.addr + ": " + text + ": " + hint
}
