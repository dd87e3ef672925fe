package transfer

import "time"

// linkSpeed estimates what the link to a source carries, in bytes on the wire a second: over the time in which lanes
// waited for it, less the time that the source itself took to read and compress. Where the source is what takes the
// time the estimate is high, which keeps compression off.
type linkSpeed struct {
	speed speed
	lanes int // that wait for this source: they share the link
}

// arrived counts a message that a lane waited for.
func (l *linkSpeed) arrived(a Arrival, waited time.Duration) {
	onLink := max(waited-time.Duration(a.WorkNanos), 0)
	l.speed.add(float64(a.WireBytes), onLink/time.Duration(max(l.lanes, 1)))
}

// rate is 0 as long as it is not known.
func (l *linkSpeed) rate() float64 {
	if l.speed.bytes < knownAfterBytes {
		return 0
	}
	return l.speed.bytes / max(l.speed.seconds, 1e-6)
}
