package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"

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
	// Extra routes of other packages (metrics, pages), by pattern of
	// http.ServeMux without a method.
	Extra map[string]http.Handler
}

// Handler answers the routes.
type Handler struct {
	g       *gateway.Gateway
	node    Node
	version api.Version
	logger  *slog.Logger
	mux     *http.ServeMux
}

// route is the handlers of one path by method.
type route map[string]func(http.ResponseWriter, *http.Request) error

// New makes the handler.
func New(c Config) *Handler {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{g: c.Gateway, node: c.Node, version: c.Version, logger: c.Logger, mux: http.NewServeMux()}
	for path, r := range h.routes() {
		h.handle(path, r)
		if rest, ok := strings.CutPrefix(path, "/v1/admin/"); ok {
			h.handle("/admin/"+rest, r)
		}
	}
	for pattern, extra := range c.Extra {
		h.mux.Handle(pattern, extra)
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.fail(w, r, api.E(api.NotFound, "see the HTTP section of the documentation", "no route %s", r.URL.Path))
	})
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

func (h *Handler) routes() map[string]route {
	const collection = "/v1/databases/{db}/collections/{collection}"
	return map[string]route{
		"/healthz": {"GET": h.healthz},
		"/livez":   {"GET": h.healthz},
		"/readyz":  {"GET": h.readyz},

		"/v1/admin/groups":                {"GET": h.listGroups},
		"/v1/admin/groups/{id}":           {"GET": h.getGroup},
		"/v1/admin/groups/{id}/verify":    {"POST": h.verifyGroup},
		"/v1/admin/groups/{id}/trim":      {"POST": h.trimGroup},
		"/v1/admin/groups/{id}/step-down": {"POST": h.stepDown},
		"/v1/admin/verify":                {"POST": h.verify},
		"/v1/admin/trim":                  {"POST": h.trim},
		"/v1/admin/nodes":                 {"GET": h.listNodes},
		"/v1/admin/nodes/{name}":          {"GET": h.getNode},
		"/v1/admin/nodes/{name}/groups":   {"GET": h.nodeGroups},
		"/v1/admin/devices/{id}/group":    {"GET": h.adminDeviceGroup},
		"/v1/admin/jobs":                  {"GET": h.listJobs},
		"/v1/admin/jobs/{id}":             {"GET": h.getJob, "DELETE": h.cancelJob},
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
func (h *Handler) handle(path string, r route) {
	var allowed []string
	for method := range r {
		if allowed = append(allowed, method); method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	h.mux.HandleFunc(path, func(w http.ResponseWriter, req *http.Request) {
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
		if err := do(w, req); err != nil {
			h.fail(w, req, err)
		}
	})
}
