create table t (a integer primary key, b text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) insert into t select i, hex(i * i) from n;
create index by_b on t (b);
select count(*), min(b), max(b) from t where b like '%3%';
