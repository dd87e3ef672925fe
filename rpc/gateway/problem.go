package gateway

import (
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// Stamped is the stamps of a write as the API shows them.
func (w Written) Stamped() []api.Stamp {
	if len(w.Stamps) == 0 {
		return nil
	}
	out := make([]api.Stamp, len(w.Stamps))
	for i, s := range w.Stamps {
		out[i] = api.Stamp{Index: s.Index, Time: api.At(time.Unix(0, s.Time))}
	}
	return out
}
