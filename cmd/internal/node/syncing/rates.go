package syncing

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/flotilla-db/flotilla/walgap/resync"
)

// RatesFile keeps what this node measured of its own resyncs, for the prices of
// the next ones. It is worth nothing else: one that cannot be read is forgotten.
const RatesFile = "rates.json"

// ratesEvery is the pause between two looks whether they have changed.
const ratesEvery = 10 * time.Second

// rates keeps what the meter has measured over restarts.
type rates struct {
	meter *resync.Meter
	path  string
	log   *slog.Logger
}

func newRates(c *Config, meter *resync.Meter) rates {
	return rates{meter, filepath.Join(c.DataDir, RatesFile), c.Logger}
}

// load reads the rates of earlier processes.
func (r rates) load() []byte {
	b, err := os.ReadFile(r.path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			r.log.Warn("rates of earlier resyncs are forgotten", "err", err)
		}
		return nil
	}
	if err := r.meter.UnmarshalBinary(b); err != nil {
		r.log.Warn("rates of earlier resyncs are forgotten", "err", err)
	}
	return b
}

// keep writes the rates down when they have changed, and at the end.
func (r rates) keep(ctx context.Context) {
	kept := r.load()
	tick := time.NewTicker(ratesEvery)
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-tick.C:
		}
		b, err := r.meter.MarshalBinary()
		if err != nil || len(b) == 0 || bytes.Equal(b, kept) {
			continue
		}
		tmp := r.path + ".tmp"
		if err = os.WriteFile(tmp, b, 0o600); err == nil {
			err = os.Rename(tmp, r.path)
		}
		if err != nil {
			r.log.Debug("rates were not written down", "err", err)
			continue
		}
		kept = b
	}
}
