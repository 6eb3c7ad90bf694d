-- PostgreSQL database dump


SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;

-- Name: alembic_version; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);

-- Name: datasets; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.datasets (
    dataset_uuid character varying(36) NOT NULL,
    experiment_id integer NOT NULL,
    name character varying(500) NOT NULL,
    digest character varying(36) NOT NULL,
    dataset_source_type character varying(36) NOT NULL,
    dataset_source text NOT NULL,
    dataset_schema text,
    dataset_profile text
);

-- Name: experiment_tags; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.experiment_tags (
    key character varying(250) NOT NULL,
    value character varying(5000),
    experiment_id integer NOT NULL
);

-- Name: experiments; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.experiments (
    experiment_id integer NOT NULL,
    name character varying(256) NOT NULL,
    artifact_location character varying(256),
    lifecycle_stage character varying(32),
    creation_time bigint,
    last_update_time bigint,
    CONSTRAINT experiments_lifecycle_stage CHECK (((lifecycle_stage)::text = ANY ((ARRAY['active'::character varying, 'deleted'::character varying])::text[])))
);

-- Name: experiments_experiment_id_seq; Type: SEQUENCE; Schema: public; Owner: -

CREATE SEQUENCE public.experiments_experiment_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

-- Name: experiments_experiment_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -

ALTER SEQUENCE public.experiments_experiment_id_seq OWNED BY public.experiments.experiment_id;

-- Name: input_tags; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.input_tags (
    input_uuid character varying(36) NOT NULL,
    name character varying(255) NOT NULL,
    value character varying(500) NOT NULL
);

-- Name: inputs; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.inputs (
    input_uuid character varying(36) NOT NULL,
    source_type character varying(36) NOT NULL,
    source_id character varying(36) NOT NULL,
    destination_type character varying(36) NOT NULL,
    destination_id character varying(36) NOT NULL
);

-- Name: latest_metrics; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.latest_metrics (
    key character varying(250) NOT NULL,
    value double precision NOT NULL,
    "timestamp" bigint,
    step bigint NOT NULL,
    is_nan boolean NOT NULL,
    run_uuid character varying(32) NOT NULL
);

-- Name: metrics; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.metrics (
    key character varying(250) NOT NULL,
    value double precision NOT NULL,
    "timestamp" bigint NOT NULL,
    run_uuid character varying(32) NOT NULL,
    step bigint DEFAULT '0'::bigint NOT NULL,
    is_nan boolean DEFAULT false NOT NULL
);

-- Name: model_version_tags; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.model_version_tags (
    key character varying(250) NOT NULL,
    value character varying(5000),
    name character varying(256) NOT NULL,
    version integer NOT NULL
);

-- Name: model_versions; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.model_versions (
    name character varying(256) NOT NULL,
    version integer NOT NULL,
    creation_time bigint,
    last_updated_time bigint,
    description character varying(5000),
    user_id character varying(256),
    current_stage character varying(20),
    source character varying(500),
    run_id character varying(32),
    status character varying(20),
    status_message character varying(500),
    run_link character varying(500),
    storage_location character varying(500)
);

-- Name: params; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.params (
    key character varying(250) NOT NULL,
    value character varying(8000) NOT NULL,
    run_uuid character varying(32) NOT NULL
);

-- Name: registered_model_aliases; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.registered_model_aliases (
    alias character varying(256) NOT NULL,
    version integer NOT NULL,
    name character varying(256) NOT NULL
);

-- Name: registered_model_tags; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.registered_model_tags (
    key character varying(250) NOT NULL,
    value character varying(5000),
    name character varying(256) NOT NULL
);

-- Name: registered_models; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.registered_models (
    name character varying(256) NOT NULL,
    creation_time bigint,
    last_updated_time bigint,
    description character varying(5000)
);

-- Name: runs; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.runs (
    run_uuid character varying(32) NOT NULL,
    name character varying(250),
    source_type character varying(20),
    source_name character varying(500),
    entry_point_name character varying(50),
    user_id character varying(256),
    status character varying(9),
    start_time bigint,
    end_time bigint,
    source_version character varying(50),
    lifecycle_stage character varying(20),
    artifact_uri character varying(200),
    experiment_id integer,
    deleted_time bigint,
    CONSTRAINT runs_lifecycle_stage CHECK (((lifecycle_stage)::text = ANY ((ARRAY['active'::character varying, 'deleted'::character varying])::text[]))),
    CONSTRAINT runs_status_check CHECK (((status)::text = ANY ((ARRAY['SCHEDULED'::character varying, 'FAILED'::character varying, 'FINISHED'::character varying, 'RUNNING'::character varying, 'KILLED'::character varying])::text[]))),
    CONSTRAINT source_type CHECK (((source_type)::text = ANY ((ARRAY['NOTEBOOK'::character varying, 'JOB'::character varying, 'LOCAL'::character varying, 'UNKNOWN'::character varying, 'PROJECT'::character varying])::text[])))
);

-- Name: tags; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.tags (
    key character varying(250) NOT NULL,
    value character varying(8000),
    run_uuid character varying(32) NOT NULL
);

-- Name: trace_info; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.trace_info (
    request_id character varying(50) NOT NULL,
    experiment_id integer NOT NULL,
    timestamp_ms bigint NOT NULL,
    execution_time_ms bigint,
    status character varying(50) NOT NULL
);

-- Name: trace_request_metadata; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.trace_request_metadata (
    key character varying(250) NOT NULL,
    value character varying(8000),
    request_id character varying(50) NOT NULL
);

-- Name: trace_tags; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.trace_tags (
    key character varying(250) NOT NULL,
    value character varying(8000),
    request_id character varying(50) NOT NULL
);

-- Name: experiments experiment_id; Type: DEFAULT; Schema: public; Owner: -

ALTER TABLE ONLY public.experiments ALTER COLUMN experiment_id SET DEFAULT nextval('public.experiments_experiment_id_seq'::regclass);

-- Data for Name: alembic_version; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.alembic_version VALUES ('0584bdc529eb');

-- Data for Name: datasets; Type: TABLE DATA; Schema: public; Owner: -

-- Data for Name: experiment_tags; Type: TABLE DATA; Schema: public; Owner: -

-- Data for Name: experiments; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.experiments VALUES (0, 'Default', 'mlflow-artifacts:/0', 'active', 1795946145347, 1795946145347);
INSERT INTO public.experiments VALUES (1, 'hazardline', 'mlflow-artifacts:/1', 'active', 1795946176481, 1795946176481);

-- Data for Name: input_tags; Type: TABLE DATA; Schema: public; Owner: -

-- Data for Name: inputs; Type: TABLE DATA; Schema: public; Owner: -

-- Data for Name: latest_metrics; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.latest_metrics VALUES ('candidate.recognition_macro_f1', 0.875, 1795946178423, 0, false, '623234e45747409b80a826d3eb4cca2c');

-- Data for Name: metrics; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.metrics VALUES ('candidate.recognition_macro_f1', 0.875, 1795946178423, '623234e45747409b80a826d3eb4cca2c', 0, false);

-- Data for Name: model_version_tags; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.model_version_tags VALUES ('hazardline.gate', 'open', 'crashchat-pocket', 1);
INSERT INTO public.model_version_tags VALUES ('hazardline.champion_seen', 'none', 'crashchat-pocket', 1);
INSERT INTO public.model_version_tags VALUES ('hazardline.promotion', '{"action":"promote","decision_digest":null,"from_version":null,"model_name":"crashchat-pocket","nonce":"6346c5b4a4c04a45ab182bfa2c9d5fff","previous_digest":"","sequence":1,"to_version":1,"version":"promotion@1","when":"2026-11-29T09:56:32.348+00:00","who":"ann","why":"recorded: version 1"}', 'crashchat-pocket.promotions', 1);
INSERT INTO public.model_version_tags VALUES ('hazardline.gate', 'open', 'crashchat-pocket', 2);
INSERT INTO public.model_version_tags VALUES ('hazardline.champion_seen', '1', 'crashchat-pocket', 2);
INSERT INTO public.model_version_tags VALUES ('hazardline.promotion', '{"action":"promote","decision_digest":null,"from_version":1,"model_name":"crashchat-pocket","nonce":"434db72b12ec4b84baa2d3979f6b765c","previous_digest":"782561e705c98010e1bacd6a7b510a6ecca23faceae39b5d3c9dfd27412e212b","sequence":2,"to_version":2,"version":"promotion@1","when":"2026-11-29T09:56:49.534+00:00","who":"ann","why":"recorded: version 2"}', 'crashchat-pocket.promotions', 2);
INSERT INTO public.model_version_tags VALUES ('hazardline.gate', 'open', 'crashchat-pocket', 3);
INSERT INTO public.model_version_tags VALUES ('hazardline.champion_seen', '2', 'crashchat-pocket', 3);

-- Data for Name: model_versions; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.model_versions VALUES ('crashchat-pocket', 1, 1795946188100, 1795946188100, '', NULL, 'None', 'runs:/643c7069571145369bdea8b51fbe69a6/model/1', '643c7069571145369bdea8b51fbe69a6', 'READY', NULL, '', 'runs:/643c7069571145369bdea8b51fbe69a6/model/1');
INSERT INTO public.model_versions VALUES ('crashchat-pocket.promotions', 1, 1795946194046, 1795946194046, 'promote: version None -> 1, by ann: recorded: version 1', NULL, 'None', 'runs:/643c7069571145369bdea8b51fbe69a6/model/1', '643c7069571145369bdea8b51fbe69a6', 'READY', NULL, '', 'runs:/643c7069571145369bdea8b51fbe69a6/model/1');
INSERT INTO public.model_versions VALUES ('crashchat-pocket', 2, 1795946205219, 1795946205219, '', NULL, 'None', 'runs:/643c7069571145369bdea8b51fbe69a6/model/1', '643c7069571145369bdea8b51fbe69a6', 'READY', NULL, '', 'runs:/643c7069571145369bdea8b51fbe69a6/model/1');
INSERT INTO public.model_versions VALUES ('crashchat-pocket.promotions', 2, 1795946211261, 1795946211261, 'promote: version 1 -> 2, by ann: recorded: version 2', NULL, 'None', 'runs:/643c7069571145369bdea8b51fbe69a6/model/1', '643c7069571145369bdea8b51fbe69a6', 'READY', NULL, '', 'runs:/643c7069571145369bdea8b51fbe69a6/model/1');
INSERT INTO public.model_versions VALUES ('crashchat-pocket', 3, 1795946221720, 1795946221720, '', NULL, 'None', 'runs:/643c7069571145369bdea8b51fbe69a6/model/1', '643c7069571145369bdea8b51fbe69a6', 'READY', NULL, '', 'runs:/643c7069571145369bdea8b51fbe69a6/model/1');

-- Data for Name: params; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.params VALUES ('base', 'pocket', '623234e45747409b80a826d3eb4cca2c');

-- Data for Name: registered_model_aliases; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.registered_model_aliases VALUES ('previous', 1, 'crashchat-pocket');
INSERT INTO public.registered_model_aliases VALUES ('champion', 2, 'crashchat-pocket');

-- Data for Name: registered_model_tags; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.registered_model_tags VALUES ('hazardline.kind', 'promotion_log', 'crashchat-pocket.promotions');

-- Data for Name: registered_models; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.registered_models VALUES ('crashchat-pocket.promotions', 1795946192906, 1795946211261, 'Promotion log of crashchat-pocket: one version is one change of champion. Do not edit or delete.');
INSERT INTO public.registered_models VALUES ('crashchat-pocket', 1795946184273, 1795946221720, '');

-- Data for Name: runs; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.runs VALUES ('623234e45747409b80a826d3eb4cca2c', 'evaluate', 'UNKNOWN', '', '', 'unknown', 'FINISHED', 1795946177456, 1795946181247, '', 'active', 'mlflow-artifacts:/1/623234e45747409b80a826d3eb4cca2c/artifacts', 1, NULL);
INSERT INTO public.runs VALUES ('643c7069571145369bdea8b51fbe69a6', 'register', 'UNKNOWN', '', '', 'unknown', 'FINISHED', 1795946186197, 1795946221744, '', 'active', 'mlflow-artifacts:/1/643c7069571145369bdea8b51fbe69a6/artifacts', 1, NULL);

-- Data for Name: tags; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.tags VALUES ('hazardline.run_key', 'recorded', '623234e45747409b80a826d3eb4cca2c');
INSERT INTO public.tags VALUES ('hazardline.stage', 'evaluate', '623234e45747409b80a826d3eb4cca2c');
INSERT INTO public.tags VALUES ('mlflow.runName', 'evaluate', '623234e45747409b80a826d3eb4cca2c');
INSERT INTO public.tags VALUES ('hazardline.note', 'written by MLflow 2.22.2', '623234e45747409b80a826d3eb4cca2c');
INSERT INTO public.tags VALUES ('hazardline.run_key', '1', '643c7069571145369bdea8b51fbe69a6');
INSERT INTO public.tags VALUES ('hazardline.stage', 'register', '643c7069571145369bdea8b51fbe69a6');
INSERT INTO public.tags VALUES ('mlflow.runName', 'register', '643c7069571145369bdea8b51fbe69a6');

-- Data for Name: trace_info; Type: TABLE DATA; Schema: public; Owner: -

-- Data for Name: trace_request_metadata; Type: TABLE DATA; Schema: public; Owner: -

-- Data for Name: trace_tags; Type: TABLE DATA; Schema: public; Owner: -

-- Name: experiments_experiment_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -

SELECT pg_catalog.setval('public.experiments_experiment_id_seq', 1, true);

-- Name: alembic_version alembic_version_pkc; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

-- Name: datasets dataset_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.datasets
    ADD CONSTRAINT dataset_pk PRIMARY KEY (experiment_id, name, digest);

-- Name: experiments experiment_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.experiments
    ADD CONSTRAINT experiment_pk PRIMARY KEY (experiment_id);

-- Name: experiment_tags experiment_tag_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.experiment_tags
    ADD CONSTRAINT experiment_tag_pk PRIMARY KEY (key, experiment_id);

-- Name: experiments experiments_name_key; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.experiments
    ADD CONSTRAINT experiments_name_key UNIQUE (name);

-- Name: input_tags input_tags_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.input_tags
    ADD CONSTRAINT input_tags_pk PRIMARY KEY (input_uuid, name);

-- Name: inputs inputs_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.inputs
    ADD CONSTRAINT inputs_pk PRIMARY KEY (source_type, source_id, destination_type, destination_id);

-- Name: latest_metrics latest_metric_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.latest_metrics
    ADD CONSTRAINT latest_metric_pk PRIMARY KEY (key, run_uuid);

-- Name: metrics metric_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.metrics
    ADD CONSTRAINT metric_pk PRIMARY KEY (key, "timestamp", step, run_uuid, value, is_nan);

-- Name: model_versions model_version_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.model_versions
    ADD CONSTRAINT model_version_pk PRIMARY KEY (name, version);

-- Name: model_version_tags model_version_tag_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.model_version_tags
    ADD CONSTRAINT model_version_tag_pk PRIMARY KEY (key, name, version);

-- Name: params param_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.params
    ADD CONSTRAINT param_pk PRIMARY KEY (key, run_uuid);

-- Name: registered_model_aliases registered_model_alias_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.registered_model_aliases
    ADD CONSTRAINT registered_model_alias_pk PRIMARY KEY (name, alias);

-- Name: registered_models registered_model_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.registered_models
    ADD CONSTRAINT registered_model_pk PRIMARY KEY (name);

-- Name: registered_model_tags registered_model_tag_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.registered_model_tags
    ADD CONSTRAINT registered_model_tag_pk PRIMARY KEY (key, name);

-- Name: runs run_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT run_pk PRIMARY KEY (run_uuid);

-- Name: tags tag_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.tags
    ADD CONSTRAINT tag_pk PRIMARY KEY (key, run_uuid);

-- Name: trace_info trace_info_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.trace_info
    ADD CONSTRAINT trace_info_pk PRIMARY KEY (request_id);

-- Name: trace_request_metadata trace_request_metadata_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.trace_request_metadata
    ADD CONSTRAINT trace_request_metadata_pk PRIMARY KEY (key, request_id);

-- Name: trace_tags trace_tag_pk; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.trace_tags
    ADD CONSTRAINT trace_tag_pk PRIMARY KEY (key, request_id);

-- Name: index_datasets_dataset_uuid; Type: INDEX; Schema: public; Owner: -

CREATE INDEX index_datasets_dataset_uuid ON public.datasets USING btree (dataset_uuid);

-- Name: index_datasets_experiment_id_dataset_source_type; Type: INDEX; Schema: public; Owner: -

CREATE INDEX index_datasets_experiment_id_dataset_source_type ON public.datasets USING btree (experiment_id, dataset_source_type);

-- Name: index_inputs_destination_type_destination_id_source_type; Type: INDEX; Schema: public; Owner: -

CREATE INDEX index_inputs_destination_type_destination_id_source_type ON public.inputs USING btree (destination_type, destination_id, source_type);

-- Name: index_inputs_input_uuid; Type: INDEX; Schema: public; Owner: -

CREATE INDEX index_inputs_input_uuid ON public.inputs USING btree (input_uuid);

-- Name: index_latest_metrics_run_uuid; Type: INDEX; Schema: public; Owner: -

CREATE INDEX index_latest_metrics_run_uuid ON public.latest_metrics USING btree (run_uuid);

-- Name: index_metrics_run_uuid; Type: INDEX; Schema: public; Owner: -

CREATE INDEX index_metrics_run_uuid ON public.metrics USING btree (run_uuid);

-- Name: index_params_run_uuid; Type: INDEX; Schema: public; Owner: -

CREATE INDEX index_params_run_uuid ON public.params USING btree (run_uuid);

-- Name: index_tags_run_uuid; Type: INDEX; Schema: public; Owner: -

CREATE INDEX index_tags_run_uuid ON public.tags USING btree (run_uuid);

-- Name: index_trace_info_experiment_id_timestamp_ms; Type: INDEX; Schema: public; Owner: -

CREATE INDEX index_trace_info_experiment_id_timestamp_ms ON public.trace_info USING btree (experiment_id, timestamp_ms);

-- Name: index_trace_request_metadata_request_id; Type: INDEX; Schema: public; Owner: -

CREATE INDEX index_trace_request_metadata_request_id ON public.trace_request_metadata USING btree (request_id);

-- Name: index_trace_tags_request_id; Type: INDEX; Schema: public; Owner: -

CREATE INDEX index_trace_tags_request_id ON public.trace_tags USING btree (request_id);

-- Name: experiment_tags experiment_tags_experiment_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.experiment_tags
    ADD CONSTRAINT experiment_tags_experiment_id_fkey FOREIGN KEY (experiment_id) REFERENCES public.experiments(experiment_id);

-- Name: datasets fk_datasets_experiment_id_experiments; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.datasets
    ADD CONSTRAINT fk_datasets_experiment_id_experiments FOREIGN KEY (experiment_id) REFERENCES public.experiments(experiment_id) ON DELETE CASCADE;

-- Name: trace_info fk_trace_info_experiment_id; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.trace_info
    ADD CONSTRAINT fk_trace_info_experiment_id FOREIGN KEY (experiment_id) REFERENCES public.experiments(experiment_id);

-- Name: trace_request_metadata fk_trace_request_metadata_request_id; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.trace_request_metadata
    ADD CONSTRAINT fk_trace_request_metadata_request_id FOREIGN KEY (request_id) REFERENCES public.trace_info(request_id) ON DELETE CASCADE;

-- Name: trace_tags fk_trace_tags_request_id; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.trace_tags
    ADD CONSTRAINT fk_trace_tags_request_id FOREIGN KEY (request_id) REFERENCES public.trace_info(request_id) ON DELETE CASCADE;

-- Name: latest_metrics latest_metrics_run_uuid_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.latest_metrics
    ADD CONSTRAINT latest_metrics_run_uuid_fkey FOREIGN KEY (run_uuid) REFERENCES public.runs(run_uuid);

-- Name: metrics metrics_run_uuid_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.metrics
    ADD CONSTRAINT metrics_run_uuid_fkey FOREIGN KEY (run_uuid) REFERENCES public.runs(run_uuid);

-- Name: model_version_tags model_version_tags_name_version_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.model_version_tags
    ADD CONSTRAINT model_version_tags_name_version_fkey FOREIGN KEY (name, version) REFERENCES public.model_versions(name, version) ON UPDATE CASCADE;

-- Name: model_versions model_versions_name_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.model_versions
    ADD CONSTRAINT model_versions_name_fkey FOREIGN KEY (name) REFERENCES public.registered_models(name) ON UPDATE CASCADE;

-- Name: params params_run_uuid_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.params
    ADD CONSTRAINT params_run_uuid_fkey FOREIGN KEY (run_uuid) REFERENCES public.runs(run_uuid);

-- Name: registered_model_aliases registered_model_alias_name_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.registered_model_aliases
    ADD CONSTRAINT registered_model_alias_name_fkey FOREIGN KEY (name) REFERENCES public.registered_models(name) ON UPDATE CASCADE ON DELETE CASCADE;

-- Name: registered_model_tags registered_model_tags_name_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.registered_model_tags
    ADD CONSTRAINT registered_model_tags_name_fkey FOREIGN KEY (name) REFERENCES public.registered_models(name) ON UPDATE CASCADE;

-- Name: runs runs_experiment_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_experiment_id_fkey FOREIGN KEY (experiment_id) REFERENCES public.experiments(experiment_id);

-- Name: tags tags_run_uuid_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.tags
    ADD CONSTRAINT tags_run_uuid_fkey FOREIGN KEY (run_uuid) REFERENCES public.runs(run_uuid);

-- PostgreSQL database dump complete

