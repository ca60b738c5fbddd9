// Package mqtt keeps a connection to a broker and publishes what Vedette says.
package mqtt
