package gateway

import (
	"errors"
	"slices"
	"testing"

	"github.com/flotilla-db/flotilla/storage"
)

// That a file has free pages is no finding, what an inspection calls harmless damage is one, whatever its words are.
func TestFreePagesAreNoDamage(t *testing.T) {
	if in := InspectedOf("l1", storage.Position{Index: 7}, &storage.Inspection{FreePages: 9}); len(in.Harmless) > 0 {
		t.Errorf("a healthy file: %q", in.Harmless)
	}
	odd := []string{"meta page 1, the older one, is damaged", "page 9: bytes that mean nothing, whose bytes mean nothing"}
	in := InspectedOf("l1", storage.Position{Index: 7}, &storage.Inspection{FreePages: 9, Harmless: odd, Structure: errors.New("page 4")})
	if !slices.Equal(in.Harmless, odd) || in.Structure != "page 4" || in.Index != 7 {
		t.Errorf("%+v", in)
	}
}
