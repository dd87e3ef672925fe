package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// Node tells what the gateway does not know: the state of this process.
type Node interface {
	// Ready reports whether the node is ready, what is missing if not, and
	// how many of its groups are still being copied.
	Ready() (ready bool, missing []string, syncing int)
	// Config is the configuration in force, secrets masked, ready for JSON.
	Config() any
	// Settings lists every setting, secrets masked.
	Settings(ctx context.Context) ([]api.Setting, error)
	// SetSetting changes a cluster-wide setting.
	SetSetting(ctx context.Context, key, value string) (api.Setting, error)
}

// Config is what a handler is made of.
type Config struct {
	Gateway *gateway.Gateway
	Node    Node
	Version api.Version
	Logger  *slog.Logger
	Metrics http.Handler // answers /metrics; nil: there are none
	// Extra routes of other packages (pages), by pattern of
	// http.ServeMux without a method.
	Extra map[string]http.Handler
}

// Handler answers the routes.
type Handler struct {
	g       *gateway.Gateway
	node    Node
	version api.Version
	logger  *slog.Logger
	metrics http.Handler // nil: none
	mux     *http.ServeMux

	streams chan struct{} // one a stream of events
	ending  chan struct{} // closed when those have to end
	endOnce sync.Once
}

// route is the handlers of one path by method.
type route map[string]func(http.ResponseWriter, *http.Request) error

// New makes the handler.
func New(c Config) *Handler {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{g: c.Gateway, node: c.Node, version: c.Version, logger: c.Logger, metrics: c.Metrics, mux: http.NewServeMux(),
		streams: make(chan struct{}, maxEventStreams), ending: make(chan struct{})}
	for pattern, r := range h.routes() {
		h.handle(pattern, r)
		if rest, ok := strings.CutPrefix(pattern, "/v1/admin/"); ok {
			h.handle("/admin/"+rest, r)
		}
	}
	for pattern, extra := range c.Extra {
		h.mux.Handle(pattern, extra)
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.fail(w, r, api.E(api.NotFound, unknownRouteHint, "no route %s", r.URL.Path))
	})
	return h
}

// unknownRouteHint names the page of the project that lists the routes.
const unknownRouteHint = "the routes are listed in docs/HTTP.md of the project"

// ServeHTTP implements http.Handler. ServeMux redirects a path with `.`, `..`
// or an empty segment to the shorter one, and clients repeat a DELETE there:
// what was meant for the collection `..` would drop its database. Such a path
// is no route.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !clean(r.URL.EscapedPath()) {
		h.fail(w, r, api.E(api.NotFound, "write a name that is . or .. as %2E or %2E%2E", "no route %s: it has an empty or a dot segment", r.URL.EscapedPath()))
		return
	}
	h.mux.ServeHTTP(w, r)
}

// clean reports whether ServeMux takes the path as it is.
func clean(escaped string) bool {
	short := path.Clean(escaped)
	return escaped == short || escaped == short+"/" && short != "/"
}

func (h *Handler) routes() map[string]route {
	const collection = "/v1/databases/{db}/collections/{collection}"
	return map[string]route{
		"/healthz": {"GET": h.healthz},
		"/livez":   {"GET": h.healthz},
		"/readyz":  {"GET": h.readyz},
		"/metrics": {"GET": h.scrape},

		"/v1/admin/groups":                {"GET": h.listGroups},
		"/v1/admin/groups/{id}":           {"GET": h.getGroup},
		"/v1/admin/groups/{id}/verify":    {"POST": h.verifyGroup},
		"/v1/admin/groups/{id}/trim":      {"POST": h.trimGroup},
		"/v1/admin/groups/{id}/step-down": {"POST": h.stepDown},
		"/v1/admin/groups/{id}/resync":    {"POST": h.resyncGroup},
		"/v1/admin/groups/{id}/move":      {"POST": h.moveGroup},
		"/v1/admin/groups/{id}/drill":     {"POST": h.drillGroup},
		"/v1/admin/resync":                {"POST": h.resync},
		"/v1/admin/verify":                {"POST": h.verify},
		"/v1/admin/trim":                  {"POST": h.trim},
		"/v1/admin/nodes":                 {"GET": h.listNodes},
		"/v1/admin/nodes/{name}":          {"GET": h.getNode},
		"/v1/admin/nodes/{name}/groups":   {"GET": h.nodeGroups},
		"/v1/admin/devices/{id}/group":    {"GET": h.adminDeviceGroup},
		"/v1/admin/jobs":                  {"GET": h.listJobs},
		"/v1/admin/jobs/{id}":             {"GET": h.getJob, "DELETE": h.cancelJob},
		"/v1/admin/events":                {"GET": h.events},
		"/v1/admin/cluster":               {"GET": h.cluster},
		"/v1/admin/config":                {"GET": h.config},
		"/v1/admin/settings":              {"GET": h.settings},
		"/v1/admin/settings/{key}":        {"PUT": h.setSetting},
		"/v1/admin/version":               {"GET": h.getVersion},

		"/v1/databases":                   {"GET": h.listDatabases, "POST": h.createDatabase},
		"/v1/databases/{db}":              {"GET": h.getDatabase, "PATCH": h.setDatabase, "DELETE": h.dropDatabase},
		"/v1/databases/{db}/collections":  {"GET": h.listCollections, "POST": h.createCollection},
		collection:                        {"GET": h.getCollection, "DELETE": h.dropCollection},
		collection + "/write":             {"POST": h.write},
		collection + "/write/batch":       {"POST": h.writeBatch},
		collection + "/query":             {"GET": h.query, "POST": h.query},
		collection + "/delete":            {"DELETE": h.deletePoints},
		collection + "/device/{id}/group": {"GET": h.deviceGroup},
	}
}

// handle registers a path with all its methods.
func (h *Handler) handle(pattern string, r route) {
	var allowed []string
	for method := range r {
		if allowed = append(allowed, method); method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, req *http.Request) {
		method := req.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		do, ok := r[method]
		if !ok {
			w.Header().Set("Allow", allow)
			h.fail(w, req, api.E(api.MethodNotAllowed, "use "+allow, "%s does not take %s", req.URL.Path, req.Method))
			return
		}
		err := noBody(w, req)
		if err == nil {
			err = do(w, req)
		}
		if err != nil {
			h.fail(w, req, err)
		}
	})
}
