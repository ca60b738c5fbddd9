package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"vedette/web"
)

// answerWithin is how long whoever has the port may take to say who it is.
const answerWithin = 3 * time.Second

// port tells whether the service can serve its page and its metrics, or does so already.
func port(ctx context.Context, config web.Config) Check {
	listen := config.Listen
	c := Check{Name: "web page and metrics", Verdict: Good, Found: "can be served on " + config.URL()}
	if listen == "" {
		c.Found = "are not served, as web.listen is empty"
		return c
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	switch {
	case err == nil:
		_ = listener.Close()
	case errors.Is(err, unix.EADDRINUSE) && answersAsVedette(ctx, config):
		c.Found = "are served on " + config.URL()
	case errors.Is(err, unix.EADDRINUSE):
		c.Verdict, c.Found = Missing, "another program has "+listen
		c.Remedy = "end that program, or give web.listen another port; the service goes on without"
	default:
		c.Verdict, c.Found = Missing, err.Error()
		c.Remedy = "give web.listen another address; the service goes on without"
	}
	return c
}

func answersAsVedette(ctx context.Context, config web.Config) bool {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, config.URL()+"healthz", http.NoBody)
	if err != nil {
		return false
	}
	client := http.Client{Transport: &http.Transport{ // without a proxy: it is on this machine
		DisableKeepAlives: true,
		// The certificate is the device's own, and is not made for this address. Nothing is sent, and only a name is read.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
	}}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close() // HEAD has none
	return response.StatusCode == http.StatusOK && response.Header.Get("Server") == web.Name
}
