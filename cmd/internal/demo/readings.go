package demo

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strconv"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/testdata/weather"
)

// Where the readings go. The second file is of one station, which it does not name.
const (
	weatherDatabase  = "weather"
	dailyCollection  = "daily"
	hourlyCollection = "hourly"
	dailyStation     = "location" // column
	hourlyStation    = "seattle"
	dateColumn       = "date"
)

// readings are what the files hold, read by encoding/csv: the loader has a parser of its own, and a mistake of one of
// the two is a difference.
type readings struct {
	rows   int
	values map[storage.Series]map[int64]map[string]blocks.Value // by time in ns and field
	count  int                                                  // values
}

func readWeather() (*readings, error) {
	r := &readings{values: map[storage.Series]map[int64]map[string]blocks.Value{}}
	if err := r.add(weather.Daily, dailyCollection, dailyStation, ""); err != nil {
		return nil, fmt.Errorf("read the daily weather: %w", err)
	}
	if err := r.add(weather.Hourly, hourlyCollection, "", hourlyStation); err != nil {
		return nil, fmt.Errorf("read the hourly weather: %w", err)
	}
	for _, times := range r.values {
		for _, fields := range times {
			r.count += len(fields)
		}
	}
	return r, nil
}

// add reads one file; its devices are named by a column, or all rows are of one.
func (r *readings) add(file []byte, collection, column, device string) error {
	rows, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil {
		return err
	}
	header := rows[0]
	for _, row := range rows[1:] {
		series := storage.Series{Database: weatherDatabase, Collection: collection, Device: device}
		fields := map[string]blocks.Value{}
		var at time.Time
		for i, cell := range row {
			switch header[i] {
			case column:
				series.Device = cell
			case dateColumn:
				if at, err = parseDate(cell); err != nil {
					return err
				}
			default:
				fields[header[i]] = reading(cell)
			}
		}
		if r.values[series] == nil {
			r.values[series] = map[int64]map[string]blocks.Value{}
		}
		r.values[series][at.UnixNano()] = fields
		r.rows++
	}
	return nil
}

// parseDate reads 2012-01-01 and 2010-01-01T01:00:00, both UTC.
func parseDate(cell string) (time.Time, error) {
	if at, err := time.Parse(time.DateOnly, cell); err == nil {
		return at, nil
	}
	return time.Parse("2006-01-02T15:04:05", cell)
}

// reading is a number, or a word such as "drizzle".
func reading(cell string) blocks.Value {
	if f, err := strconv.ParseFloat(cell, 64); err == nil {
		return blocks.Float(f)
	}
	return blocks.Text(cell)
}

// difference is what comparing came to.
type difference struct {
	points, equal, wrong, missing, extra int
	examples                             []string
}

func (d *difference) none() bool { return d.wrong == 0 && d.missing == 0 && d.extra == 0 }

// compare takes what was read of one series, and notes what differs.
func (r *readings) compare(series storage.Series, read []storage.Point, d *difference) {
	want := r.values[series]
	seen := map[int64]bool{}
	for _, p := range read {
		d.points++
		fields, known := want[p.Time]
		if !known || seen[p.Time] {
			d.extra++
			d.note("%s at %d: was never loaded", series.Device, p.Time)
			continue
		}
		seen[p.Time] = true
		d.row(series, p, fields)
	}
	for at, fields := range want {
		if !seen[at] {
			d.missing += len(fields)
			d.note("%s at %d: is missing", series.Device, at)
		}
	}
}

// row compares the fields of one point.
func (d *difference) row(series storage.Series, p storage.Point, want map[string]blocks.Value) {
	read := map[string]bool{}
	for _, f := range p.Fields {
		v, known := want[f.Name]
		switch {
		case !known || read[f.Name]:
			d.extra++
			d.note("%s at %d: %s was never loaded", series.Device, p.Time, f.Name)
		case v != f.Value:
			d.wrong++
			d.note("%s at %d: %s is %v, want %v", series.Device, p.Time, f.Name, f.Value, v)
		default:
			d.equal++
		}
		read[f.Name] = true
	}
	for name := range want {
		if !read[name] {
			d.missing++
			d.note("%s at %d: %s is missing", series.Device, p.Time, name)
		}
	}
}

// examplesKept bounds the differences that are spelled out.
const examplesKept = 5

func (d *difference) note(format string, args ...any) {
	if len(d.examples) < examplesKept {
		d.examples = append(d.examples, fmt.Sprintf(format, args...))
	}
}
