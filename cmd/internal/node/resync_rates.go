package node

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ratesFile keeps what this node measured of its own resyncs, for the prices of
// the next ones. It is worth nothing else: one that cannot be read is forgotten.
const ratesFile = "rates.json"

// ratesEvery is the pause between two looks whether they have changed.
const ratesEvery = 10 * time.Second

func (m *resyncs) ratesPath() string { return filepath.Join(m.node.cfg.DataDir, ratesFile) }

// loadRates reads the rates of earlier processes.
func (m *resyncs) loadRates() []byte {
	b, err := os.ReadFile(m.ratesPath())
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			m.log.Warn("rates of earlier resyncs are forgotten", "err", err)
		}
		return nil
	}
	if err := m.meter.UnmarshalBinary(b); err != nil {
		m.log.Warn("rates of earlier resyncs are forgotten", "err", err)
	}
	return b
}

// keepRates writes the rates down when they have changed, and at the end.
func (m *resyncs) keepRates(ctx context.Context) {
	kept := m.loadRates()
	tick := time.NewTicker(ratesEvery)
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-tick.C:
		}
		b, err := m.meter.MarshalBinary()
		if err != nil || len(b) == 0 || bytes.Equal(b, kept) {
			continue
		}
		tmp := m.ratesPath() + ".tmp"
		if err = os.WriteFile(tmp, b, 0o600); err == nil {
			err = os.Rename(tmp, m.ratesPath())
		}
		if err != nil {
			m.log.Debug("rates were not written down", "err", err)
			continue
		}
		kept = b
	}
}
