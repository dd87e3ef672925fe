package directory

import (
	"context"
	"time"
)

// scrubEvery is how often what is on disk is read back.
const scrubEvery = 10 * time.Minute

// scrub reads raft.db and the snapshots back, again and again: memory has all
// that they should hold, so what has gone bad is made anew while that is so.
func (d *Directory) scrub(ctx context.Context) {
	timer := time.NewTicker(scrubEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.store.snapshots.suspect:
		case <-timer.C:
		}
		if err := d.scrubNow(); err != nil {
			d.fatal(err) // the file could not be written anew
			return
		}
	}
}

func (d *Directory) scrubNow() error {
	if err := d.store.bolt.scrub(); err != nil {
		return err
	}
	whole, _, bad, err := d.store.snapshots.look()
	if err == nil && len(bad) > 0 {
		if err = d.store.snapshots.rewrite(whole, d.transport); err == nil {
			err = d.store.snapshots.setAside(bad)
		}
	}
	if err != nil {
		d.logger.Warn("the snapshots of the meta group are not checked or not made anew: tried again later", "err", err)
	}
	return nil
}
