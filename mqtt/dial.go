package mqtt

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// dial opens the connection beneath MQTT, which ends with ctx at the latest, whatever is under way.
func dial(ctx context.Context, broker *url.URL, opts paho.ClientOptions) (net.Conn, error) {
	var conn net.Conn
	var err error
	switch broker.Scheme {
	case "ws", "wss": // paho's handshake cannot be cancelled: it may go on for connectTimeout
		conn, err = paho.NewWebsocket(broker.String(), opts.TLSConfig, connectTimeout, nil, nil)
	case "tls":
		dialer := tls.Dialer{NetDialer: opts.Dialer, Config: opts.TLSConfig}
		conn, err = dialer.DialContext(ctx, "tcp", address(broker))
	default:
		conn, err = opts.Dialer.DialContext(ctx, "tcp", address(broker))
	}
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	return newBounded(conn), nil
}

// address is a broker's host:port, with the port that MQTT has by custom where none is named.
func address(broker *url.URL) string {
	port := broker.Port()
	if port == "" {
		port = map[string]string{"tcp": "1883", "tls": "8883"}[broker.Scheme]
	}
	return net.JoinHostPort(broker.Hostname(), port)
}
