package node

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// diskPoll is how often the free space of the data directory is looked at.
const diskPoll = time.Second

// diskWatch says whether the data directory is below its reserve. It turns to
// full below the reserve and back only above twice that, so that it does not
// flutter at the border.
type diskWatch struct {
	free    func() (int64, error) // bytes
	reserve int64                 // bytes
	changed func(full bool)
	pressed func() // at every look while it is full; nil: nothing
	fatal   func(error)
	log     *slog.Logger

	last atomic.Int64 // bytes free when last looked
	full bool         // owned by run
}

// run looks at once and then every diskPoll, until ctx ends.
func (w *diskWatch) run(ctx context.Context) {
	every(ctx, diskPoll, w.look)
}

func (w *diskWatch) look() {
	free, err := w.free()
	if err != nil {
		w.fatal(err)
		return
	}
	w.last.Store(free)
	full := diskFull(w.full, free, w.reserve)
	if full != w.full {
		w.full = full
		w.tell(free)
	}
	if full && w.pressed != nil {
		w.pressed()
	}
}

func (w *diskWatch) tell(free int64) {
	if w.full {
		w.log.Warn("disk reserve reached: leaderships are handed over, new data is refused", "free_bytes", free, "reserve_bytes", w.reserve)
	} else {
		w.log.Info("disk has room again", "free_bytes", free)
	}
	w.changed(w.full)
}

// diskFull is the rule with its hysteresis.
func diskFull(was bool, free, reserve int64) bool {
	if was {
		return free <= 2*reserve
	}
	return free < reserve
}
