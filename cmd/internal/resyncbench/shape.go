package resyncbench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

const (
	totalGroups = storage.DefaultTotalGroups
	// windows of each group, with a series in each of their 16 slots: 112 leaves a group, so that 1% is about one.
	windows = 7
	columns = 16 // floats a point

	database   = "bench"
	collection = "copied"

	// MinBytes and MaxBytes bound what is filled.
	MinBytes, MaxBytes = 1 << 20, 64 << 30
	// maxLeafRows bounds a leaf.
	maxLeafRows = 1 << 16
)

// start is when the filled points begin: the first instant of a window.
var start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// shape is what the filler writes: the same for the same size, to the bit.
type shape struct {
	rows int // points a leaf
}

// shapeOf spreads so many bytes of floats over all groups.
func shapeOf(size int64) (shape, error) {
	if size < MinBytes || size > MaxBytes {
		return shape{}, fmt.Errorf("a size of %d bytes: it is at least %d and at most %d", size, MinBytes, int64(MaxBytes))
	}
	rows := int(size / (totalGroups * windows * storage.Slots * columns * 8))
	if rows > maxLeafRows {
		return shape{}, fmt.Errorf("a size of %d bytes: leaves of %d rows are too long", size, rows)
	}
	return shape{rows: max(1, rows)}, nil
}

// leaves is how many a group has.
const leaves = windows * storage.Slots

// seriesBySlot are devices of one group, one in each slot.
type seriesBySlot [storage.Slots]storage.Series

// seriesOfGroups finds names of devices that cover all slots of all groups: GroupOf and SlotOf decide where they lie.
func seriesOfGroups() *[totalGroups]seriesBySlot {
	var found [totalGroups]seriesBySlot
	for missing, i := totalGroups*storage.Slots, 0; missing > 0; i++ {
		s := storage.Series{Database: database, Collection: collection, Device: fmt.Sprintf("device-%06d", i)}
		at := &found[storage.GroupOf(s.Database, s.Collection, s.Device, totalGroups)][storage.SlotOf(s.Key())]
		if at.Device == "" {
			*at = s
			missing--
		}
	}
	return &found
}

// window is the points of one window of a group, device by device.
func (sh shape) window(series *seriesBySlot, group uint32, window int, seed uint64) []storage.Point {
	random := rand.New(rand.NewPCG(seed, uint64(group)<<32|uint64(window)))
	first := start.Add(time.Duration(window) * storage.DefaultWindow).UnixNano()
	step := int64(storage.DefaultWindow) / int64(sh.rows)
	points := make([]storage.Point, 0, sh.rows*storage.Slots)
	fields := make([]storage.Field, sh.rows*storage.Slots*columns)
	for i := range fields {
		fields[i] = storage.Field{Name: fieldNames[i%columns], Value: blocks.Float(randomFloat(random))}
	}
	for _, s := range series {
		for row := range sh.rows {
			points = append(points, storage.Point{Series: s, Time: first + int64(row)*step, Fields: fields[:columns:columns]})
			fields = fields[columns:]
		}
	}
	return points
}

var fieldNames = func() (names [columns]string) {
	for i := range names {
		names[i] = fmt.Sprintf("f%02d", i)
	}
	return names
}()

// randomFloat is any 64 bits that are a finite number: nothing compresses it.
func randomFloat(random *rand.Rand) float64 {
	for {
		if f := math.Float64frombits(random.Uint64()); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
	}
}

// firstValue is that of the points which make groups live.
var firstValue = blocks.Float(1)
