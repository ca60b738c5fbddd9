// Package system tests the appliance as it is installed, in a whole machine. Its tests have the build tag system.
package system
