-- The image makes the database `mlflow`; this one is for MLflow's users.
create database mlflow_auth;
