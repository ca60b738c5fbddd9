// Package v4l2 takes frames from the cameras that the Linux kernel knows.
package v4l2
