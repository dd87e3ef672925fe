package syncing

import "github.com/flotilla-db/flotilla/snapshot/transfer"

// throttle bounds the bytes of all copies of this node.
type throttle struct {
	in  *transfer.Limits  // of what comes into this node
	out *transfer.Limiter // of what leaves it
}

func newThrottle() throttle { return throttle{transfer.NewLimits(0), transfer.NewLimiter(0)} }

// set bounds what comes in and goes out from now on, that under way too.
func (t throttle) set(bytesPerS int64) {
	t.in.In.Set(float64(bytesPerS))
	t.out.Set(float64(bytesPerS))
}
