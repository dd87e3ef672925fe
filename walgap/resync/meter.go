package resync

import (
	"encoding/json"
	"fmt"
	"math"
	"sync"

	"github.com/flotilla-db/flotilla/walgap"
)

// Meter keeps the rates that this node measured (package walgap averages them): each job moves them, so that the next
// verdict has a truer price. The node persists it.
type Meter struct {
	mu    sync.Mutex // guards rates
	rates walgap.Rates
}

// Rates are the rates as they are now.
func (m *Meter) Rates() walgap.Rates {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rates
}

// Observe makes new rates of the old ones.
func (m *Meter) Observe(next func(walgap.Rates) walgap.Rates) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rates = next(m.rates)
}

// MarshalBinary gives the bytes that UnmarshalBinary reads.
func (m *Meter) MarshalBinary() ([]byte, error) { return json.Marshal(m.Rates()) }

// UnmarshalBinary reads the rates of an earlier process; bytes that are none change nothing.
func (m *Meter) UnmarshalBinary(b []byte) error {
	var r walgap.Rates
	if err := json.Unmarshal(b, &r); err != nil {
		return fmt.Errorf("read rates: %w", err)
	}
	for _, v := range []float64{float64(r.EntriesPerS), float64(r.LocalBytesPerS), float64(r.WireBytesPerS),
		float64(r.ProofBytesPerS), float64(r.CutS)} {
		if v < 0 || math.IsInf(v, 0) {
			return fmt.Errorf("read rates: %v is none", v)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rates = r
	return nil
}
