package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/rpc/lineproto"
	"github.com/flotilla-db/flotilla/storage"
)

const (
	// maxBatchPoints and maxBatchBytes keep a batch below what a node accepts (10,000 points, 8 MiB).
	maxBatchPoints = 10_000
	maxBatchBytes  = 4 << 20
	// maxShownLines bounds the refused lines on stderr; -o json holds up to maxKeptLines of them.
	maxShownLines = 20
	maxKeptLines  = 10_000
)

func writeVerb(s streams) *cli.Command {
	return &cli.Command{
		Name:      "write",
		Usage:     "write points from a file or standard input",
		ArgsUsage: "[FILE|-]",
		Flags: clientFlags(
			&cli.StringFlag{Name: "db", Usage: "database"},
			&cli.StringFlag{Name: "collection", Usage: "collection; of line protocol the measurement is the default"},
			&cli.StringFlag{Name: "format", Usage: "line, csv or ndjson", DefaultText: "by the file's name, else line"},
			&cli.StringFlag{Name: "device-column", Usage: "csv, ndjson: column of the device id", DefaultText: "id"},
			&cli.StringFlag{Name: "device", Usage: "csv, ndjson: every point is of this device"},
			&cli.StringFlag{Name: "time-column", Usage: "csv, ndjson: column of the time", DefaultText: "time"},
			&cli.StringFlag{Name: "time-layout", Usage: "2006-01-02 15:04:05, %Y-%m-%d, rfc3339, ns, us, ms, s; without: RFC 3339, dates, integer ns"},
			&cli.StringSliceFlag{Name: "device-tag", Usage: "line: tag that names the device, repeatable", DefaultText: strings.Join(lineproto.DefaultDeviceTags, ", then ")},
			&cli.StringFlag{Name: "precision", Usage: "line: unit of the timestamps: ns, us, ms, s, m, h", DefaultText: "ns"},
			&cli.IntFlag{Name: "batch", Value: 5000, Usage: "points a request"},
		),
		Action: func(c *cli.Context) error { return write(c, s) },
		Description: `flotilla write --db weather --collection daily --format csv \
  --device-column location --time-column date testdata/weather/weather.csv
flotilla write --db weather --collection hourly --device seattle --time-column date \
  testdata/weather/seattle-weather-hourly-normals.csv
echo 'cpu,host=a usage=0.5' | flotilla write --db metrics
flotilla write --db metrics --collection cpu --format ndjson points.ndjson -o json

Exit code 0: every line was written; 6: some were refused, the others were written; 1: all were refused.`,
	}
}

func write(c *cli.Context, s streams) error {
	if err := errors.Join(arity(c, 0, 1), need(c, "db")); err != nil {
		return firstOf(err)
	}
	batch := c.Int("batch")
	if err := within(c, "batch", 1, maxBatchPoints); err != nil {
		return err
	}
	if err := refuseEmpty(c, "collection", "format", "device-column", "device", "time-column", "time-layout", "precision"); err != nil {
		return err
	}
	if slices.Contains(c.StringSlice("device-tag"), "") {
		return usagef("--device-tag is empty: give it a value or leave it out")
	}
	options := readerOptions(c)
	if err := options.Check(); err != nil {
		return wrongOptions(err)
	}
	if options.Format != lineproto.FormatLine && options.Collection == "" {
		return usagef("needs --collection: %s names none", options.Format)
	}
	session, err := open(c)
	if err != nil {
		return err
	}
	in, size, err := openInput(c.Args().First(), s.in)
	if err != nil {
		return err
	}
	defer in.Close()
	source := &countingReader{r: in}
	reader, err := lineproto.Open(source, options)
	if err != nil {
		return wrongOptions(err)
	}
	sdk, err := session.sdk(c.Context)
	if err != nil {
		return err
	}
	defer sdk.Close()
	show := newProgress(s.err, "write", size, bytesCell)
	loader := &loader{to: sdkWriter{sdk}, limit: batch, tick: func(r *writeReport) {
		show.set(source.n, fmt.Sprintf("%s, %s refused", counted(r.Written, "point"), counted(r.Refused, "line")))
	}}
	err = loader.run(c.Context, reader)
	show.end()
	if options.Format == lineproto.FormatLine && !c.IsSet("format") {
		loader.report.guessed = true
	}
	return finishWrite(session, s, &loader.report, err)
}

// wrongOptions tells options that do not fit, among themselves or the input, as the wrong usage that they are.
func wrongOptions(err error) error {
	return usageError{strings.TrimPrefix(err.Error(), lineproto.ErrOptions.Error()+": ")}
}

// firstOf unwraps the first of joined errors: one line is printed, not several.
func firstOf(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()[0]
	}
	return err
}

func readerOptions(c *cli.Context) lineproto.Options {
	format := c.String("format")
	if format == "" {
		switch strings.ToLower(filepath.Ext(c.Args().First())) {
		case ".csv":
			format = lineproto.FormatCSV
		case ".ndjson", ".jsonl":
			format = lineproto.FormatNDJSON
		default:
			format = lineproto.FormatLine
		}
	}
	return lineproto.Options{
		Format: format, Database: c.String("db"), Collection: c.String("collection"),
		DeviceTags: c.StringSlice("device-tag"), Device: c.String("device"), DeviceColumn: c.String("device-column"),
		TimeColumn: c.String("time-column"), TimeLayout: c.String("time-layout"), Precision: c.String("precision"),
	}
}

// openInput returns the file and its size, 0 where that is not known.
func openInput(name string, stdin io.Reader) (io.ReadCloser, int64, error) {
	if name == "" || name == "-" {
		return io.NopCloser(stdin), 0, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	if info.IsDir() {
		f.Close()
		return nil, 0, fmt.Errorf("%s is a directory", name)
	}
	return f, info.Size(), nil
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// finishWrite prints the report, whatever happened, and then says how the command ended.
func finishWrite(session *session, s streams, r *writeReport, err error) error {
	for _, l := range r.Lines[:min(len(r.Lines), maxShownLines)] {
		fmt.Fprintf(s.err, "line %d: %s\n", l.Line, l.Reason)
	}
	if r.Refused > maxShownLines {
		fmt.Fprintf(s.err, "and %s more\n", counted(r.Refused-maxShownLines, "line"))
	}
	body, encodeErr := json.Marshal(r)
	if encodeErr != nil {
		return encodeErr
	}
	printErr := session.print.print(body, func() (*table, error) { return r.table(), nil })
	switch {
	case err != nil && r.Unknown > 0:
		return stillTrue{"the outcome of " + counted(r.Unknown, "point") + " is unknown", err}
	case err != nil:
		return err
	case printErr != nil:
		return printErr
	case r.Refused > 0 && r.Written > 0:
		return verdict{exitPartial, "refused: " + counted(r.Refused, "line")}
	case r.Refused > 0 && r.guessed:
		return verdict{exitError, "every line was refused; they were read as line protocol: --format csv or ndjson reads others"}
	case r.Refused > 0:
		return verdict{exitError, "every line was refused"}
	}
	return nil
}

// writeReport is what became of every line: `write -o json`.
type writeReport struct {
	Written int64         `json:"written"` // points acknowledged
	Refused int64         `json:"refused"` // lines
	Unknown int64         `json:"unknown"` // points whose outcome is not known
	Unsent  *int64        `json:"unsent_from_line"`
	Lines   []refusedLine `json:"lines"`

	guessed bool // nobody said that it is line protocol
}

type refusedLine struct {
	Line   int64  `json:"line"`
	Reason string `json:"reason"`
}

func (r *writeReport) refuse(line int64, reason string) {
	r.Refused++
	if len(r.Lines) < maxKeptLines {
		r.Lines = append(r.Lines, refusedLine{line, reason})
	}
}

func (r *writeReport) table() *table {
	text := fmt.Sprintf("%s written, %s refused", counted(r.Written, "point"), counted(r.Refused, "line"))
	if r.Unknown > 0 {
		text += fmt.Sprintf(", the outcome of %s is unknown", counted(r.Unknown, "point"))
	}
	if r.Unsent != nil {
		text += fmt.Sprintf(", nothing sent from line %d on", *r.Unsent)
	}
	return &table{verdict: text}
}

// pointWriter is what the loader needs of the SDK. An error is an *api.Error.
type pointWriter interface {
	Write(ctx context.Context, points []storage.Point) (written int, err error)
}
