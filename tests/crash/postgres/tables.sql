CREATE SCHEMA shop;
CREATE TABLE shop.customer (shop text, id bigint, name text NOT NULL, data jsonb, PRIMARY KEY (shop, id));
CREATE TABLE shop.sale (shop text, id bigint, customer bigint NOT NULL, amount numeric, at timestamptz, raw bytea,
    PRIMARY KEY (shop, id), FOREIGN KEY (shop, customer) REFERENCES shop.customer);
