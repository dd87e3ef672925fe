package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// maxZstdWindow bounds the memory that a zstd body may ask for.
const maxZstdWindow = 8 << 20

// readBody reads a whole body, decompressed, of at most limit bytes. The
// limit counts decoded bytes: a small bomb is as large as what it unpacks to.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	raw := http.MaxBytesReader(w, r.Body, limit)
	body, done, err := decoded(raw, r.Header.Get("Content-Encoding"))
	if err != nil {
		return nil, err
	}
	defer done()
	b, err := io.ReadAll(io.LimitReader(body, limit+1))
	tooLarge := int64(len(b)) > limit
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		tooLarge = true
	}
	switch {
	case tooLarge:
		return nil, api.E(api.TooLarge, "send several smaller requests", "the body is over %d bytes", limit)
	case err != nil:
		return nil, api.E(api.InvalidArgument, "send the whole body", "the body cannot be read").Because(err)
	}
	return b, nil
}

// noBody refuses a GET or a DELETE whose body says anything: it is not read, and
// whoever names devices there would delete, or be given, all of them.
func noBody(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength == 0 || (r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodDelete) {
		return nil
	}
	body, err := readBody(w, r, maxAdminBody)
	if err != nil {
		return err
	}
	switch strings.TrimSpace(string(body)) {
	case "", "{}", "null":
		return nil
	}
	return api.E(api.InvalidArgument, "give parameters in the URL; nothing was done", "a %s takes no body", r.Method)
}

// decoded wraps the body by its Content-Encoding.
func decoded(body io.Reader, encoding string) (io.Reader, func(), error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return body, func() {}, nil
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, nil, api.E(api.InvalidArgument, "", "the body is no gzip").Because(err)
		}
		return z, func() { _ = z.Close() }, nil
	case "zstd":
		z, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, api.E(api.InvalidArgument, "", "the body is no zstd").Because(err)
		}
		return z, z.Close, nil
	}
	return nil, nil, api.E(api.UnsupportedMedia, "gzip, zstd or identity", "%s", fmt.Sprintf("content encoding %q is not known", encoding))
}
