package server

import (
	"embed"
	"io/fs"
	"net/http"

	"github.com/parley-im/parley/internal/fault"
)

//go:embed web
var web embed.FS

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
		w.Header().Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-cache")
		handler.ServeHTTP(w, r)
	})
}

// PageURL is the address of the web page with the token in its fragment.
func PageURL(base, token string) string { return base + "/#token=" + token }
