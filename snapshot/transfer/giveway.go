package transfer

import (
	"context"
	"time"
)

// maxGiveWay bounds one pause: a machine that is busy with other things must not
// stop copies.
const maxGiveWay = 20 * time.Millisecond

// rightOfWay lets the node's own clients go before those who copy from it. While
// they wait, the answers of the node read one leaf at a time, and pause after each
// for as long as it took: the longer a leaf takes on a busy machine, the more is
// left to others. While nobody waits nothing is held back.
type rightOfWay struct {
	waits func() bool   // somebody waits for a write now; nil: nobody ever
	turn  chan struct{} // capacity 1
}

func newRightOfWay(waits func() bool) rightOfWay {
	return rightOfWay{waits, make(chan struct{}, 1)}
}

// read reads one leaf.
func (w rightOfWay) read(ctx context.Context, leaf func() ([]byte, error)) ([]byte, error) {
	if w.waits == nil || !w.waits() {
		return leaf()
	}
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-w.turn }()
	began := time.Now()
	b, err := leaf()
	timer := time.NewTimer(min(time.Since(began), maxGiveWay))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return b, err
}
