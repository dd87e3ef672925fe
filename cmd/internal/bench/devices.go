package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// readingInterval is what lies between two points of a device.
const readingInterval = 10 * time.Second

// device is one simulated device. One caller uses it.
type device struct {
	series storage.Series
	next   int64 // ns
	walk   [3]float64
	random *rand.Rand
}

// fieldNames of a simulated reading.
var fieldNames = [3]string{"temperature", "humidity", "pressure"}

// newDevices makes devices first, first+step, ... below count. The same seed gives the same readings, so that a
// second run writes the same points again and the store does not grow.
func newDevices(database, collection string, first, step, count int, start time.Time, seed uint64) []*device {
	var devices []*device
	for i := first; i < count; i += step {
		devices = append(devices, &device{
			series: storage.Series{Database: database, Collection: collection, Device: fmt.Sprintf("dev-%05d", i)},
			next:   start.UnixNano(), walk: [3]float64{20, 50, 1013},
			random: rand.New(rand.NewPCG(seed, uint64(i))),
		})
	}
	return devices
}

// point returns the next reading.
func (d *device) point() storage.Point {
	fields := make([]storage.Field, len(fieldNames))
	for i, name := range fieldNames {
		d.walk[i] += d.random.NormFloat64() / 4
		fields[i] = storage.Field{Name: name, Value: blocks.Float(math.Round(d.walk[i]*100) / 100)}
	}
	p := storage.Point{Series: d.series, Time: d.next, Fields: fields}
	d.next += int64(readingInterval)
	return p
}
