package doctor

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"vedette/web"
)

// answerWithin is how long whoever has the port may take to say who it is.
const answerWithin = 3 * time.Second

// port tells whether the service can serve its metrics, or does so already.
func port(ctx context.Context, listen string) Check {
	c := Check{Name: "metrics and health", Verdict: Good, Found: "can be served on " + listen}
	if listen == "" {
		c.Found = "are not served, as web.listen is empty"
		return c
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	switch {
	case err == nil:
		_ = listener.Close()
	case errors.Is(err, unix.EADDRINUSE) && answersAsVedette(ctx, listen):
		c.Found = "are served on " + listen
	case errors.Is(err, unix.EADDRINUSE):
		c.Verdict, c.Found = Missing, "another program has "+listen
		c.Remedy = "end that program, or give web.listen another port; the service goes on without"
	default:
		c.Verdict, c.Found = Missing, err.Error()
		c.Remedy = "give web.listen another address; the service goes on without"
	}
	return c
}

func answersAsVedette(ctx context.Context, listen string) bool {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://"+listen+"/healthz", http.NoBody)
	if err != nil {
		return false
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // and no proxy: it is on this machine
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close() // HEAD has none
	return response.StatusCode == http.StatusOK && response.Header.Get("Server") == web.Name
}
