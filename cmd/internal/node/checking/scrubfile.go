package checking

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

const (
	// scrubFile keeps how far the scrub has got, over restarts.
	scrubFile = "scrub.json"
	// maxScrubFile bounds what is read of it.
	maxScrubFile = 4 << 20
)

func (s *Scrub) path() string { return filepath.Join(s.config.DataDir, scrubFile) }

// load reads how far an earlier process got; what cannot be read begins anew.
func (s *Scrub) load() {
	b, err := os.ReadFile(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var state antientropy.Scrub
	if err == nil && len(b) > maxScrubFile {
		err = fmt.Errorf("%d bytes", len(b))
	}
	if err == nil {
		err = json.Unmarshal(b, &state)
	}
	if err != nil {
		s.config.Logger.Warn("how far the scrub got cannot be read: it begins anew", "err", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}

// save writes it down; a crash may lose it.
func (s *Scrub) save(now time.Time) {
	s.saved = now
	s.mu.Lock()
	b, err := json.Marshal(&s.state)
	s.mu.Unlock()
	tmp := s.path() + ".new"
	if err == nil {
		err = os.WriteFile(tmp, append(b, '\n'), 0o640)
	}
	if err == nil {
		err = os.Rename(tmp, s.path())
	}
	if err != nil {
		s.config.Logger.Warn("how far the scrub got is not written down", "err", err)
	}
}
