package server

import (
	"embed"
	"io/fs"
	"net/http"
	"path"

	"github.com/parley-im/parley/internal/fault"
)

//go:embed web
var web embed.FS

// pagePolicy lets nothing in but the page's own files, and pictures and
// recordings that the page makes of what the API has answered, since an element
// that shows them cannot present the token. Nothing becomes markup that was not
// in the files.
const pagePolicy = "default-src 'self'; img-src 'self' blob:; media-src blob:; object-src 'none'; base-uri 'none'; form-action 'none'; " +
	"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// pageTypes are told by the page itself, as a machine's own table may know them
// by names that browsers refuse.
var pageTypes = map[string]string{
	".js":  "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml",
}

// page serves the web page. It is plain files: no build, nothing from
// elsewhere. The token is handed to it in the fragment of the address, which
// browsers do not send.
func page() http.Handler {
	files, err := fs.Sub(web, "web")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	handler := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			problem(w, http.StatusMethodNotAllowed, fault.Usage, "the page can only be read")
			return
		}
		w.Header().Set("Content-Security-Policy", pagePolicy)
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-cache")
		if kind, ok := pageTypes[path.Ext(r.URL.Path)]; ok {
			w.Header().Set("Content-Type", kind)
		}
		handler.ServeHTTP(w, r)
	})
}

// PageURL is the address of the web page with the token in its fragment.
func PageURL(base, token string) string { return base + "/#token=" + token }
