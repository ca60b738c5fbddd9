// Package page holds the web page that the binary carries.
package page

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
)

//go:embed assets
var assets embed.FS

// policy lets the page load its own files and nothing else, and makes the browser refuse text as markup (Trusted Types).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; " +
	"manifest-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// File is one file of the page.
type File struct {
	Path    string // a pattern of http.ServeMux, without the method
	Content []byte
	kind    string
	etag    string
}

// Files are all files of the page. The first is the page itself.
func Files() []File {
	var files []File
	_ = fs.WalkDir(assets, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := assets.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(text)
		file := File{Path: "/" + name, Content: text, kind: kindOf(name), etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
		if name == "assets/index.html" {
			file.Path = "/{$}"
			files = append([]File{file}, files...)
			return nil
		}
		files = append(files, file)
		return nil
	}) // what is embedded can be read
	return files
}

// kindOf does not ask the machine, whose answer may be another one.
func kindOf(name string) string {
	switch ext := path.Ext(name); ext {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".webmanifest":
		return "application/manifest+json"
	default:
		return mime.TypeByExtension(ext)
	}
}

// ServeHTTP sends the file, unless the browser has it: an update of the binary is seen at once.
func (f File) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.etag)
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	if r.Header.Get("If-None-Match") == f.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(f.Content) // fails where the client has gone
}
