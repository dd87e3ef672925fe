package raftmux

import "time"

// class says how long a frame may wait for others to share its message.
type class uint8

const (
	// classLazy: heartbeats, empty AppendEntries, pings. Timings.Lazy.
	classLazy class = iota
	// classSoon: answers to lazy requests, which come in bursts. Timings.Gather.
	classSoon
	// classNormal: entries, other answers, votes, calls. Not at all while
	// little is on its way, Timings.Gather under load.
	classNormal
	// classNow: leaves at once, and everything that waits with it.
	classNow
)

// loadFrames is how many normal frames in one gather window make a load: up to
// here each leaves in a message of its own, which costs 20-50 µs of CPU at
// both ends; beyond, one message a window carries them all.
const loadFrames = 4

// pacer decides when a frame leaves. It is pure: time comes in.
type pacer struct {
	gather, lazy time.Duration

	window time.Time // begin of the window that is being counted
	frames int       // normal frames in it
	loaded bool      // the window before was a load
}

// due gives the time at which a frame that arrives now should leave at the
// latest.
func (p *pacer) due(now time.Time, c class) time.Time {
	switch c {
	case classLazy:
		return now.Add(p.lazy)
	case classSoon:
		return now.Add(p.gather)
	case classNow:
		return now
	}
	if age := now.Sub(p.window); age >= p.gather {
		p.loaded = p.frames > loadFrames && age < 2*p.gather
		p.window, p.frames = now, 0
	}
	p.frames++
	if p.loaded || p.frames > loadFrames {
		return now.Add(p.gather)
	}
	return now
}
