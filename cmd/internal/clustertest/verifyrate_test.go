package clustertest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
)

// A deep check re-reads on each node as many bytes a second as storage.anti_entropy.
// rate says, within a tenth.
func TestDeepCheckKeepsTheRate(t *testing.T) {
	const rate = 256 << 10
	Run(t, 5*time.Minute, func(t *testing.T) {
		s := newClassScene(t, 44, func(_ int, c *config.Config) { c.Storage.AntiEntropy.Rate = rate })
		for i := range s.nodes { // the logs are read, too, and are not in the sum
			for _, group := range s.groups {
				g, _ := s.Group(i, group)
				must(t, g.Trim(t.Context()))
			}
		}
		r := s.verify(t, api.VerifyRequest{Deep: true})
		took := time.Duration(r.DurationMs) * time.Millisecond
		votes, err := os.Stat(filepath.Join(s.nodes[0].Config.DataDir, "votes.db"))
		must(t, err)
		at := func(bytes int64) time.Duration { return time.Duration(float64(bytes) / rate * float64(time.Second)) }
		least := at(r.BytesRead / 3)
		most := at(r.BytesRead/3 + votes.Size()*int64(1+took/time.Second)) // the votes are read every second, and are not in the sum
		t.Logf("%d bytes of three nodes in %v, at the rate %v to %v", r.BytesRead, took, least, most)
		if r.ExitCode() != 0 || least < 5*time.Second || took < least*9/10 || took > most*11/10 {
			t.Errorf("%d bytes of three nodes were read in %v, at the rate it takes %v to %v; %+v", r.BytesRead, took, least, most, r)
		}
	})
}
