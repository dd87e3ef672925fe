// Package weather holds real readings, as files and in the binary, so that the demo needs no checkout.
//
// NOTICE says where they are from: NOAA, in the public domain, by way of the npm package vega-datasets.
package weather

import _ "embed"

// Daily has one row a day of two stations (column location), 2012 to 2015.
//
//go:embed weather.csv
var Daily []byte

// Hourly has one row an hour of a climate normal year of one station.
//
//go:embed seattle-weather-hourly-normals.csv
var Hourly []byte
