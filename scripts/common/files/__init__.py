"""Files written whole and read with care: any bytes, parquet, CSV, YAML."""
